"""Envoy messages from the intermediate representation; never from the registry itself."""
