"""Whether anything may be said to a client while only what was stored is served."""

from __future__ import annotations

from snapshots.snapshot import TypeSnapshot
from xds_server.protocol.claims import claims_another
from xds_server.protocol.events import DeltaRequest, SotwRequest
from xds_server.store import Published


class Gate:
    """Keeps a stream silent whose client may be ahead of what was stored."""

    def __init__(self) -> None:
        self._claims_another = False

    def look(
        self, published: Published | None, node_cluster: str, first: SotwRequest | DeltaRequest
    ) -> bool:
        """Look at the *first* request for a type; return whether the gate closes because of it."""
        if published is None or not published.provisional or self._claims_another:
            return False
        of_type = published.snapshot.for_node(node_cluster).types.get(first.type_url)
        self._claims_another = claims_another(first, of_type or TypeSnapshot.of(()))
        return self._claims_another

    def is_closed(self, published: Published | None) -> bool:
        """Return whether nothing may be said while this is what is *published*."""
        return self._claims_another and published is not None and published.provisional
