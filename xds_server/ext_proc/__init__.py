"""The companion: reads the model name from a request body for Envoy."""
