"""One ADS stream: a task that reads, tasks that watch, and one that writes.

All decisions are the session's (`xds_server.protocol`). Nothing is ever cancelled while it reads
from a live RPC, nor put under a timeout: that would break it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import thread_time
from typing import Any

import grpc

from snapshots.type_urls import CLUSTER, LISTENER, TypeUrl
from xds_server.ads.answers import Answers
from xds_server.ads.gate import Gate
from xds_server.ads.notes import StreamNotes
from xds_server.ads.requests import check, count_names
from xds_server.ads.shared import Shared, Variant
from xds_server.fleet import Node
from xds_server.guard.allowance import Allowance
from xds_server.guard.entrance import CANCELLED_WITHIN_S, EOF, OVER
from xds_server.guard.limits import Limit, LimitError
from xds_server.protocol.events import DeltaRequest, Received, SotwRequest, Verdict
from xds_server.store import Published


class AdsStream:
    """A stream from its first request to its end."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        variant: Variant,
        node: Node,
        shared: Shared,
        allowance: Allowance,
    ) -> None:
        self._context = context
        self._variant = variant
        self._node = node
        self._shared = shared
        self._allowance = allowance
        self._session = variant.new_session(node, shared.archive)
        self._notes = StreamNotes(node, variant.name, shared)
        self._answers = Answers(shared, self._notes.record, self._notes.log)
        self._gate = Gate(self._notes.log)
        self._offered: Published | None = None
        self._offered_at: float | None = None
        self._claimed = 0
        """How many resources the client said that it holds."""
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._has_sent = False
        self._may_abort = asyncio.Event()
        """Not while the first response is being written: gRPC would send its headers twice, fail,
        and leave the stream open for ever."""
        self._may_abort.set()
        self._pause_s = 0.0
        self._problem: LimitError | None = None

    def begin(self, message: Any, size: int) -> None:  # noqa: ANN401 - a request of either variant
        """Take the first request, of *size* bytes; it is not kept."""
        try:
            request = self._read_request(message, size)
            self._answers.begin(request)
            self._offer()
            self._receive(request, size)
        except LimitError as problem:
            self._problem = problem
        except BaseException:
            self._notes.closed()
            raise

    async def run(self) -> None:
        """Serve the stream until the client ends it, goes beyond a limit, or we close."""
        try:
            if self._problem is None:
                await self._serve()
            else:
                await self._refuse(self._problem)
        finally:
            self._notes.closed()

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
            # No name is given to a request here: it would be kept until the next one comes.
            while self._problem is None and self._take_data(await self._context.read()):
                if self._pause_s:
                    await self._pause()
        self._end()
        if self._problem is not None:
            with suppress(*OVER):
                await self._refuse(self._problem)
        else:
            await asyncio.sleep(CANCELLED_WITHIN_S)

    async def _pause(self) -> None:
        """Leave the loop to others: this node has had much of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._ended.wait()

    async def _refuse(self, problem: LimitError) -> None:
        self._shared.endings.tell(self._context, problem, self._node.id)
        await self._may_abort.wait()
        await self._context.abort(problem.code, problem.sentence)

    async def _write(self) -> None:
        with suppress(*OVER):  # its reader hears of it, too
            while not self._ended.is_set():
                self._wake.clear()
                while (encoded := self._next_response()) is not None:
                    await self._send(encoded)
                self._note_progress()
                if not self._ended.is_set():
                    await self._wake.wait()

    async def _send(self, encoded: bytes) -> None:
        if self._has_sent:
            await self._context.write(encoded)
            return
        self._may_abort.clear()
        try:
            await self._context.write(encoded)
        finally:
            self._may_abort.set()
        self._has_sent = True

    def _next_response(self) -> bytes | None:
        if self._ended.is_set():
            return None
        began = thread_time()
        response = self._gate.pass_on(self._offered, self._session.next_response)
        if response is None:
            return None
        self._notes.sent(response, self._session.target_version(response.type_url))
        encoded = self._shared.encoder.encode(response, self._variant.write)
        self._allowance.worked(thread_time() - began)
        return encoded

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
        await self._may_abort.wait()
        with suppress(*OVER):  # which also ends the read that is going on
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the control plane is stopping")

    def _end(self) -> None:
        self._ended.set()
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
        self._notes.gateway(desired.gateway)
        if not published.provisional:
            self._session.forgive(self._answers.forget(desired, self._node.view(published.goal)))
        self._session.offer(self._answers.served(desired))
        self._wake.set()

    def _take_data(self, data: Any) -> bool:  # noqa: ANN401 - bytes, or EOF
        """Take what was read; return whether there may be more."""
        if data is EOF:
            return False
        began = thread_time()
        try:
            request = self._read_request(self._variant.reader.parse(data), len(data))
            self._receive(request, len(data))
        except LimitError as problem:
            self._problem = problem
        self._pause_s = self._allowance.worked(thread_time() - began)
        return True

    def _read_request(self, message: Any, size: int) -> SotwRequest | DeltaRequest:  # noqa: ANN401 - of either variant
        """Return what *message* says. Raises LimitError if that is more than may be kept."""
        asked: frozenset[TypeUrl] = self._session.subscribed_types
        if message.type_url not in asked and len(asked) >= self._shared.limits.types:
            limit = f"a stream can ask for {self._shared.limits.types} types at most"
            raise LimitError(Limit.TYPES, limit)
        if (told := count_names(message)) > self._session.subscribed_names:
            self._check_names(told)  # fewer are repeated, or taken back
        request: SotwRequest | DeltaRequest = self._variant.read(message)
        check(request, size, self._shared.limits)
        return request

    def _receive(self, request: SotwRequest | DeltaRequest, size: int) -> None:
        """Hand a request to the session. Raises LimitError."""
        if request.type_url not in self._session.subscribed_types:
            self._look_at_first(request)
        names: int = self._session.subscribed_names
        received: Received = self._session.receive(request)
        if received.verdict not in (Verdict.ACK, Verdict.NACK):
            self._allowance.asked(size)
        if self._session.subscribed_names > names:
            self._check_names(self._session.subscribed_names)
        if self._answers.note(received, self._gateway()):
            self._offer()
        self._wake.set()

    def _look_at_first(self, request: SotwRequest | DeltaRequest) -> None:
        """Look at the first request for a type, which tells what the client holds."""
        self._take_claims(request)
        self._notes.asked(request.type_url)
        if self._offered:
            desired = self._node.view(self._offered.snapshot)
            self._gate.look(self._offered, desired, self._answers.served(desired), request)
            if self._answers.claims(desired, request):
                self._offer()

    def _take_claims(self, request: SotwRequest | DeltaRequest) -> None:
        if isinstance(request, DeltaRequest):
            self._claimed += len(request.initial_resource_versions)
            self._check_names(self._claimed)

    def _check_names(self, count: int) -> None:
        limits = self._shared.limits
        if not limits.names_among(self._count_resources, count):
            raise LimitError(
                Limit.NAMES,
                f"a stream can subscribe to {limits.names} names, and say that it holds as many",
            )

    def _count_resources(self) -> int:
        published = self._shared.store.current
        if published is None:
            return 0
        types = self._node.view(published.snapshot).types.values()
        return sum(len(of_type.resources) for of_type in types)

    def _gateway(self) -> str:
        if self._offered is None:
            return ""
        return self._node.view(self._offered.snapshot).gateway

    def _note_progress(self) -> None:
        if self._offered is None:
            return
        self._notes.taken(self._session.taken(), awaits_answer=self._session.awaits_answer)
        if not self._in_sync():
            self._notes.behind()
            return
        self._notes.converged(self._offered.snapshot, self._offered_at)
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
