"""One ADS stream: a task that reads, tasks that watch, and one that writes.

All decisions are the session's (`xds_server.protocol`). Nothing is ever cancelled while it reads
from a live RPC, nor put under a timeout: that would break it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from snapshots.type_urls import CLUSTER, LISTENER, TypeUrl
from xds_server.ads.answers import Answers
from xds_server.ads.gate import Gate
from xds_server.ads.shared import Shared
from xds_server.fleet import Node
from xds_server.protocol.archive import Archive
from xds_server.protocol.events import DeltaResponse, Received, SotwResponse
from xds_server.store import Published

log = structlog.get_logger()

EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in grpc-stubs
"""What `read` returns after the client's last message."""

_stream_ids = itertools.count(1)

MAX_TYPES = 256
"""Types that one stream may ask for: Envoy has about twenty."""

CLOSED_ADVICE = (
    "an Envoy that still runs routes on with what it has, and gets no edit until it is back"
)
UNMATCHED_ADVICE = (
    "this Envoy is told to listen on nothing; give a gateway its node_cluster, node_id or "
    "node_metadata"
)


@dataclass(frozen=True, slots=True)
class Variant:
    """How the two variants of the protocol differ for a stream."""

    name: str
    new_session: Callable[[Node, Archive], Any]
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


class AdsStream:
    """A stream from its first request to its end."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        variant: Variant,
        node: Node,
        shared: Shared,
    ) -> None:
        self._context = context
        self._variant = variant
        self._node = node
        self._shared = shared
        self._session = variant.new_session(node, shared.archive)
        self._record = shared.fleet.opened(node, variant.name)
        self._offered: Published | None = None
        self._offered_at: float | None = None
        self._has_gateway = True
        """Until it is found out."""
        self._wake = asyncio.Event()
        self._ended = False
        self._problem = ""
        self._log = log.bind(stream_id=next(_stream_ids), node_id=node.id)
        self._gate = Gate(self._log)
        self._answers = Answers(shared, self._record, self._log)

    async def run(self, first: Any) -> None:  # noqa: ANN401 - a request of either variant
        """Serve the stream until the client ends it, asks for something impossible, or we close."""
        self._log.info(
            "xds.stream.opened",
            node_cluster=self._node.cluster,
            variant=self._variant.name,
            envoy_version=self._node.envoy_version,
        )
        self._shared.metrics.streams.inc()
        try:
            self._answers.begin(self._variant.read(first))
            self._offer()
            self._receive(first)
            await self._serve()
            if self._problem:
                await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, self._problem)
        finally:
            self._shared.metrics.streams.dec()
            self._shared.fleet.closed(self._record)
            self._log.info(
                "xds.stream.closed", revision=self._record.revision, consequence=CLOSED_ADVICE
            )

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            watchers = [
                tasks.create_task(self._watch_store()),
                tasks.create_task(self._watch_quarantine()),
                tasks.create_task(self._watch_closing()),
            ]
            tasks.create_task(self._read())
            await self._write()
            for watcher in watchers:
                watcher.cancel()

    async def _read(self) -> None:
        with suppress(grpc.aio.AbortError):  # raised here when _watch_closing aborts
            while not self._problem:
                message = await self._context.read()
                if message is EOF:
                    break
                self._receive(message)
        self._end()

    async def _write(self) -> None:
        while not self._ended:
            self._wake.clear()
            while not self._ended:
                response = self._gate.pass_on(self._offered, self._session.next_response)
                if response is None:
                    break
                self._note_sent(response)
                encoded = self._shared.encoder.encode(response, self._variant.write)
                await self._context.write(encoded)
            self._note_progress()
            if not self._ended:
                await self._wake.wait()

    async def _watch_store(self) -> None:
        while True:
            await self._shared.store.newer_than(self._offered.serial if self._offered else 0)
            self._offer()

    async def _watch_quarantine(self) -> None:
        while True:
            await self._shared.quarantine_changed.heard()
            self._offer()

    async def _watch_closing(self) -> None:
        await self._shared.closing.wait()
        self._end()
        with suppress(grpc.aio.AbortError):  # which also ends the read that is going on
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the control plane is stopping")

    def _end(self) -> None:
        self._ended = True
        self._wake.set()

    def _offer(self) -> None:
        """Aim at the published snapshot, as far as nothing in it was refused."""
        published = self._shared.store.current
        if published is None:
            return
        if published is not self._offered:
            # A node is measured only by publishes that it saw happen.
            self._offered_at = self._shared.clock() if self._offered else None
            self._offered = published
        desired = self._node.view(published.snapshot)
        self._note_gateway(desired.gateway)
        self._session.offer(self._answers.served(desired))
        self._wake.set()

    def _receive(self, message: Any) -> None:  # noqa: ANN401 - a request of either variant
        asked: frozenset[TypeUrl] = self._session.subscribed_types
        if not message.type_url:
            self._problem = "a request on an aggregated stream must tell its type_url"
            return
        if len(asked) >= MAX_TYPES and message.type_url not in asked:
            self._problem = f"a stream can ask for {MAX_TYPES} types at most"
            return
        request = self._variant.read(message)
        if request.type_url not in asked and self._offered:
            desired = self._node.view(self._offered.snapshot)
            self._gate.look(self._offered, desired, self._answers.served(desired), request)
            if self._answers.claims(desired, request):
                self._offer()
        received: Received = self._session.receive(request)
        if self._answers.note(received, self._gateway()):
            self._offer()
        self._wake.set()

    def _note_gateway(self, gateway: str) -> None:
        """Tell, once for each change of it, that no gateway wants this node."""
        if not gateway and self._has_gateway:
            self._log.warning(
                "xds.node.unmatched",
                node_cluster=self._node.cluster,
                node_metadata=dict(self._node.metadata),
                consequence=UNMATCHED_ADVICE,
            )
        self._has_gateway = bool(gateway)

    def _gateway(self) -> str:
        if self._offered is None:
            return ""
        return self._node.view(self._offered.snapshot).gateway

    def _note_sent(self, response: SotwResponse | DeltaResponse) -> None:
        self._shared.metrics.sent(response.type_url)
        version = self._session.target_version(response.type_url)
        self._shared.fleet.sent(self._record, response.type_url, version)
        self._log.debug(
            "xds.response.sent",
            type_url=response.type_url,
            nonce=response.nonce,
            resource_count=len(response.resources),
        )

    def _note_progress(self) -> None:
        if self._offered is None:
            return
        snapshot = self._offered.snapshot
        self._record.awaits_answer = self._session.awaits_answer
        self._shared.fleet.taken(self._record, self._session.taken())
        if not self._in_sync():
            self._shared.fleet.diverged(self._record)
            return
        news = self._shared.fleet.converged(self._record, snapshot)
        if news and self._offered_at is not None:
            self._shared.metrics.convergence.observe(self._shared.clock() - self._offered_at)
        self._offered_at = None

    def _in_sync(self) -> bool:
        if self._offered is None:
            return False
        asked: frozenset[TypeUrl] = self._session.subscribed_types
        if self._node.is_envoy and not asked >= {CLUSTER, LISTENER}:
            # An Envoy that starts asks for clusters first; it has not asked for all that it needs.
            return False
        desired = self._node.view(self._offered.snapshot)
        in_sync: bool = self._session.in_sync_with(desired)
        return in_sync
