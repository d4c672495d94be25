"""ADS over grpc.aio: sessions of `xds_server.protocol` on real streams.

`add_ads` puts the service on a server; `SERVER_OPTIONS` are the channel arguments it wants.
"""

from xds_server.ads.service import SERVER_OPTIONS, AdsService, add_ads

__all__ = ["SERVER_OPTIONS", "AdsService", "add_ads"]
