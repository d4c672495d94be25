"""Tell Envoy what `snapshots` decided, and hear the answer: everything that waits or talks."""
