"""What the registry refers to: reading it, judging it before it is served, seeing it change."""
