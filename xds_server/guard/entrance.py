"""How a stream on the xDS address begins, whatever it is for: who asks, within which limits.

What it tells first is measured before it is read, and is kept by nobody here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from xds_server.guard.admission import Admission
from xds_server.guard.allowance import Allowance
from xds_server.guard.door import Door
from xds_server.guard.endings import Endings
from xds_server.guard.limits import Limit, LimitError, Limits

MessageT = TypeVar("MessageT", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]

EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in grpc-stubs
"""What `read` returns after the client's last message, and when the RPC has failed."""

OVER = (grpc.aio.AbortError, grpc.aio.InternalError)
"""What is raised when the RPC was aborted by another task of ours, or has failed."""

CANCELLED_WITHIN_S = 0.05
"""When an RPC fails, gRPC lets `read` return first and cancels its task right after that."""


class MessageReader(Generic[MessageT]):
    """Reads the requests of streams, as *kind*, which has a node."""

    def __init__(self, kind: type[MessageT], limits: Limits) -> None:
        self._kind = kind
        self.limits = limits

    def parse(self, data: bytes) -> MessageT:
        """Return the message in *data*. Raises LimitError if it is none, or too large."""
        if len(data) > self.limits.request_bytes:
            raise LimitError(
                Limit.REQUEST_BYTES,
                f"a request can have {self.limits.request_bytes} bytes, this one has {len(data)}",
            )
        try:
            return self._kind.FromString(data)
        except DecodeError as error:
            # The reason names our classes; that a text is no UTF-8 is all that may be of use.
            what = "has a text that is not UTF-8" if "UTF-8" in str(error) else "cannot be read"
            raise LimitError.malformed(f"a {self._kind.DESCRIPTOR.name} {what}") from None

    def check_node(self, message: Any) -> None:  # noqa: ANN401 - of *kind*
        """Raise LimitError unless *message* tells a node that may be kept in memory."""
        node = message.node
        if not node.id:
            raise LimitError.malformed(
                "the first request of a stream must tell its node, with an id"
            )
        self.limits.check_texts("the node's id, or its cluster,", (node.id, node.cluster))
        size = node.metadata.ByteSize()
        if size > self.limits.metadata_bytes:
            raise LimitError(
                Limit.NODE,
                f"node.metadata can have {self.limits.metadata_bytes} bytes, this one has {size}",
            )


@dataclass(slots=True)
class Guest:
    """A stream that was let in."""

    size: int
    """Bytes of its first request."""
    first: Any
    """The first request; None once it was taken."""
    allowance: Allowance

    def take(self) -> Any:  # noqa: ANN401 - of the reader's kind
        """Return the first request, and keep it no longer.

        Of an Envoy's 60 KB, nearly all are the names of its extensions.
        """
        first, self.first = self.first, None
        return first


class Entrance:
    """Lets streams of one service in; for one event loop only."""

    def __init__(
        self,
        door: Door,
        endings: Endings,
        limits: Limits,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._door = door
        self._endings = endings
        self.limits = limits
        self._admission = Admission(limits, clock)
        self._silences: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def guest(
        self, context: Context, reader: MessageReader[Any]
    ) -> AsyncIterator[Guest | None]:
        """Let the stream of *context* in for the block; yields None if its client is gone.

        Who may not come in is told so by grpc.aio.AbortError. A LimitError of the block ends the
        stream, too.
        """
        if refused := self._door.stranger(context):
            await context.abort(refused.code, refused.details)
        node_id = ""
        try:
            with self._admission.stream():
                data = await self._first(context)
                if data is EOF:
                    await asyncio.sleep(CANCELLED_WITHIN_S)
                    yield None
                    return
                size, message = len(data), reader.parse(data)
                reader.check_node(message)
                node_id = message.node.id
                if refused := self._door.impostor(context, node_id):
                    await context.abort(refused.code, refused.details)
                with self._admission.node(node_id) as allowance:
                    if wait_s := allowance.opened():
                        await asyncio.sleep(wait_s)
                    guest = Guest(size, message, allowance)
                    del data, message
                    yield guest
        except LimitError as error:
            self._endings.tell(context, error, node_id)
            await context.abort(error.code, error.sentence)

    async def _first(self, context: Context) -> Any:  # noqa: ANN401 - bytes, or EOF
        """Return the first request; without one in time, the stream ends."""
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            # A task for each stream that opens would be one too many for nearly all of them.
            end = loop.create_task(self._end_silence(context))
            self._silences.add(end)
            end.add_done_callback(self._silences.discard)

        timer = loop.call_later(self.limits.first_request_s, give_up)
        try:
            return await context.read()
        finally:
            timer.cancel()

    async def _end_silence(self, context: Context) -> None:
        wait_s = self.limits.first_request_s
        sentence = f"the first request of a stream must be there within {wait_s:g} s"
        error = LimitError(Limit.SILENCE, sentence, grpc.StatusCode.DEADLINE_EXCEEDED)
        self._endings.tell(context, error)
        with suppress(*OVER):
            await context.abort(error.code, error.sentence)
