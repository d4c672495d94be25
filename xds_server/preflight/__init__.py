"""Whether the real Envoy takes a snapshot, asked before anybody is told of it."""
