"""Whether anything may be said to a client while only what was stored is served."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from structlog.typing import FilteringBoundLogger

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import TypeUrl
from xds_server.fleet import Node
from xds_server.protocol.claims import claims_another
from xds_server.protocol.events import DeltaRequest, SotwRequest
from xds_server.store import Published


class Gate:
    """Keeps a stream silent whose client may be ahead of what was stored."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._claims_another = False

    def look(
        self,
        published: Published | None,
        node: Node,
        request: SotwRequest | DeltaRequest,
        asked: AbstractSet[TypeUrl],
    ) -> None:
        """Look at a request; *asked* are the types for which there was one before.

        The first for a type tells what the client holds. If that is something else than what is
        *published*, nothing passes from now on.
        """
        if request.type_url in asked or self._claims_another:
            return
        if published is None or not published.provisional:
            return
        of_type = node.view(published.snapshot).types.get(request.type_url)
        self._claims_another = claims_another(request, of_type or TypeSnapshot.of(()))
        if self._claims_another:
            self._log.info("xds.stream.waits", type_url=request.type_url)

    def pass_on(self, published: Published | None, next_response: Callable[[], Any]) -> Any:  # noqa: ANN401 - of either variant
        """Return what *next_response* returns; None while what is *published* may be too old."""
        if self._claims_another and published is not None and published.provisional:
            return None
        return next_response()
