"""The xDS protocol as state machines: events in, responses out. No asyncio, no grpc, no clock."""
