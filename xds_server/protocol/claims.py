"""What a client says it holds when it connects, compared with what it would be told."""

from __future__ import annotations

from snapshots.snapshot import TypeSnapshot
from xds_server.protocol.events import DeltaRequest, SotwRequest


def claims_another(request: SotwRequest | DeltaRequest, than: TypeSnapshot) -> bool:
    """Return whether *request*, the first for its type, tells of something else *than* that.

    Of a client that holds less, or nothing, this is not so. In state of the world it may be so of
    one that holds just this: the version that it tells is that of the last response.
    """
    if isinstance(request, SotwRequest):
        return request.version_info not in ("", than.version)
    for name, version in request.initial_resource_versions.items():
        resource = than.resources.get(name)
        if resource is None or resource.version != version:
            return True
    return False
