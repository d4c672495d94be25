"""What should Envoy be told? Pure and synchronous: no sockets, no clocks, no asyncio."""
