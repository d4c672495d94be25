"""The intermediate representation: the registry with everything resolved."""
