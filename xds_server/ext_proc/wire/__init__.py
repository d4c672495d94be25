"""HTTP/2 and gRPC as far as the companion needs them: bytes in, bytes out; no I/O."""
