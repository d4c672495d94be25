"""The gRPC service of the aggregated discovery streams."""
