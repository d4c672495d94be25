"""What is told where a stream ends because its client went beyond a limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any

import grpc
import structlog
from prometheus_client import CollectorRegistry, Counter

from xds_server.guard.limits import Limit, LimitError
from xds_server.line_budget import LineBudget

log = structlog.get_logger()

LIMITED_ADVICE = "its stream ends and the others go on; an Envoy routes on with what it has"
SAID_AGAIN_AFTER_S = 60.0
"""A client that tries again and again has one line each minute."""
MAX_SAID = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class Endings:
    """Ends streams, says why once for each client and limit, and counts all of them."""

    def __init__(self, metrics: CollectorRegistry, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lines = LineBudget(clock)
        self._said: OrderedDict[tuple[Limit, str], float] = OrderedDict()
        self._limited = Counter(
            "modelyard_xds_streams_limited_total",
            "Streams that were ended because a client went beyond a limit.",
            ["limit"],
            registry=metrics,
        )
        for limit in Limit:
            self._limited.labels(limit.value)

    def tell(self, context: Context, error: LimitError, node_id: str = "") -> None:
        """Count that the stream of *context* is ended, and log it."""
        self._limited.labels(error.limit.value).inc()
        self._say(context.peer(), error, node_id)

    def _say(self, peer: str, error: LimitError, node_id: str) -> None:
        if self._was_said((error.limit, node_id or peer.rpartition(":")[0])):
            return
        left_out = self._lines.take(error.limit.value)
        if left_out is None:
            return
        log.warning(
            "xds.stream.limited",
            peer=peer,
            node_id=node_id,
            limit=error.limit.value,
            reason=error.sentence,
            consequence=LIMITED_ADVICE,
            left_out=left_out,
        )

    def _was_said(self, key: tuple[Limit, str]) -> bool:
        now = self._clock()
        last = self._said.get(key)
        if last is not None and now - last < SAID_AGAIN_AFTER_S:
            return True
        self._said[key] = now
        self._said.move_to_end(key)
        if len(self._said) > MAX_SAID:
            self._said.popitem(last=False)
        return False
