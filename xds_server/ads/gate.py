"""Whether anything may be said to a client while only what was stored is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger

from snapshots.snapshot import NodeSnapshot
from xds_server.protocol.claims import claims_another
from xds_server.protocol.events import DeltaRequest, Served, SotwRequest
from xds_server.protocol.ledger import NOTHING
from xds_server.store import Published


class Gate:
    """Keeps a stream silent whose client may be ahead of what was stored."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._claims_another = False

    def look(
        self,
        published: Published,
        desired: NodeSnapshot,
        served: Served,
        request: SotwRequest | DeltaRequest,
    ) -> None:
        """Look at the first request for a type, which tells what the client holds.

        If that is something else than what is *desired* of what is *published*, or *served* in its
        place, nothing passes from now on.
        """
        url = request.type_url
        if self._claims_another or not published.provisional:
            return
        self._claims_another = claims_another(
            request,
            desired.types.get(url, NOTHING),
            instead=served.snapshot.types.get(url, NOTHING),
            withheld=served.withheld.get(url, frozenset()),
        )
        if self._claims_another:
            self._log.info("xds.stream.waits", type_url=url)

    def pass_on(self, published: Published | None, next_response: Callable[[], Any]) -> Any:  # noqa: ANN401 - of either variant
        """Return what *next_response* returns; None while what is *published* may be too old."""
        if self._claims_another and published is not None and published.provisional:
            return None
        return next_response()
