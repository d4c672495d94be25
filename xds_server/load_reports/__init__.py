"""The LoadReportingService (LRS) over grpc.aio: what Envoys say that they are at work for."""
