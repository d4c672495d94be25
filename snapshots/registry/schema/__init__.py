"""What may stand in a registry file: format 1, as frozen pydantic models.

The descriptions are read by people: they become the JSON Schema that editors show. Whether the
names of a file fit together is not decided here but in `snapshots.registry.references`.
"""

from snapshots.registry.schema.auth import Auth, Client, UpstreamAuth
from snapshots.registry.schema.file import Registry
from snapshots.registry.schema.gateways import Extraction, Gateway
from snapshots.registry.schema.headers import HeaderChanges, Headers
from snapshots.registry.schema.limits import Limits
from snapshots.registry.schema.load_balancing import HashKey, LoadBalancing
from snapshots.registry.schema.models import MAX_SPLIT_WEIGHT, ServedModel
from snapshots.registry.schema.outlier_detection import OutlierDetection
from snapshots.registry.schema.pools import Endpoint, HealthCheck, Pool
from snapshots.registry.schema.priority import Priority
from snapshots.registry.schema.rate_limit import RateLimit
from snapshots.registry.schema.routing import Mirror, Retries, Sticky
from snapshots.registry.schema.tls import ListenerTls, UpstreamTls

__all__ = [
    "MAX_SPLIT_WEIGHT",
    "Auth",
    "Client",
    "Endpoint",
    "Extraction",
    "Gateway",
    "HashKey",
    "HeaderChanges",
    "Headers",
    "HealthCheck",
    "Limits",
    "ListenerTls",
    "LoadBalancing",
    "Mirror",
    "OutlierDetection",
    "Pool",
    "Priority",
    "RateLimit",
    "Registry",
    "Retries",
    "ServedModel",
    "Sticky",
    "UpstreamAuth",
    "UpstreamTls",
]
