"""What the control plane knows, over HTTP: read-only."""
