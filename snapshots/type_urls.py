"""The xDS resource types that Modelyard serves, and the order in which they are sent.

The order is the one of "Eventual consistency considerations" on the "xDS REST and gRPC protocol"
page of Envoy's docs: make before break.
"""

from __future__ import annotations

from typing import Final, NewType

TypeUrl = NewType("TypeUrl", str)

CLUSTER: Final = TypeUrl("type.googleapis.com/envoy.config.cluster.v3.Cluster")
ENDPOINT: Final = TypeUrl("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment")
LISTENER: Final = TypeUrl("type.googleapis.com/envoy.config.listener.v3.Listener")
SCOPED_ROUTE: Final = TypeUrl("type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration")
ROUTE: Final = TypeUrl("type.googleapis.com/envoy.config.route.v3.RouteConfiguration")
SECRET: Final = TypeUrl("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret")

PUSH_ORDER: Final = (CLUSTER, ENDPOINT, SECRET, LISTENER, SCOPED_ROUTE, ROUTE)
"""Additions and changes are sent in this order. Clusters ask for secrets and wait for them, as do
listeners; what Envoy has not asked for yet is not sent."""

REMOVAL_ORDER: Final = (LISTENER, SCOPED_ROUTE, ROUTE, ENDPOINT, CLUSTER, SECRET)
"""Removals are sent in this order, after the additions: what is referred to goes last."""

FULL_STATE_TYPES: Final = frozenset({CLUSTER, LISTENER, SCOPED_ROUTE})
"""In state of the world a response of these types is complete: an absent resource is removed."""

SHORT_NAMES: Final = {
    CLUSTER: "cds",
    ENDPOINT: "eds",
    SECRET: "sds",
    LISTENER: "lds",
    SCOPED_ROUTE: "srds",
    ROUTE: "rds",
}
"""The services by which people know the types."""
