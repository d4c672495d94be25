"""The parent of workers: accepts connections, hands each to a worker, and starts who has died.

It forks, so it has neither threads nor an event loop; and it reads nothing of what Envoys send.
Neither a worker's end nor a full one costs a connection that was not handed to it: those wait in
the listener's queue until some worker can take them.
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from time import monotonic

import structlog

from xds_server.ext_proc.health import is_told, is_watched
from xds_server.ext_proc.ledger import Ledger
from xds_server.ext_proc.listen import Listener
from xds_server.ext_proc.server import TOLD_S, CompanionOptions
from xds_server.ext_proc.staff import Staff
from xds_server.ext_proc.worker import CALLS, LEAVE, NOT_SERVING, SIGNALS, WEB

NO_ROOM_PAUSE_S = 1.0
TICK_S = 1.0
KILLED_AFTER_S = 2.0
"""Past the grace, for a worker that does not end by itself."""

log = structlog.get_logger()


class _Phase(IntEnum):
    STARTING = 0
    SERVING = 1
    TELLING = 2
    """Health/Check says NOT_SERVING; the rest is as before."""
    LEAVING = 3


class Parent:
    """The parent of *count* workers that share *listener* and *web_listener*."""

    def __init__(
        self,
        count: int,
        listener: Listener,
        web_listener: Listener | None,
        options: CompanionOptions,
    ) -> None:
        self._listener = listener
        self._web_listener = web_listener
        self._options = options
        self._ledger = Ledger(count)
        self._selector = selectors.DefaultSelector()
        self._staff = Staff(self._ledger, options, self._selector, self._in_child)
        self._phase = _Phase.STARTING
        self._accepting = False
        self._accept_from_s = 0.0
        self._deadline_s = float("inf")
        self._signal_read, self._signal_written = socket.socketpair()
        self.was_forced = False
        """Whether workers were killed rather than let end."""

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGINT or SIGTERM; *ready* is called once all workers are ready."""
        with self._signals():
            self._staff.start()
            while self._phase < _Phase.LEAVING or self._staff.alive:
                for key, _ in self._selector.select(self._timeout_s()):
                    key.data()
                self._move_on(ready)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals arrive as bytes that the selector sees."""
        for end in (self._signal_read, self._signal_written):
            end.setblocking(False)
        self._selector.register(self._signal_read, selectors.EVENT_READ, self._on_signal)
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        wakeup = signal.set_wakeup_fd(self._signal_written.fileno())
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._staff.kill()
            self._close()

    def _in_child(self) -> None:
        """Let go, in a worker just forked, of all that is the parent's."""
        signal.set_wakeup_fd(-1)
        self._listener.socket.close()
        if self._web_listener is not None:
            self._web_listener.socket.close()
        self._close()

    def _close(self) -> None:
        self._selector.close()
        self._signal_read.close()
        self._signal_written.close()

    def _timeout_s(self) -> float:
        now_s = monotonic()
        due_s = min(self._deadline_s, self._staff.next_start_s, now_s + TICK_S)
        return max(0.0, due_s - now_s)

    def _move_on(self, ready: Callable[[], None]) -> None:
        """Do what is due."""
        now_s = monotonic()
        self._staff.look_after(now_s, may_start=self._phase <= _Phase.SERVING)
        if self._phase is _Phase.STARTING and self._staff.is_complete:
            self._phase = _Phase.SERVING
            self._listener.publish()
            ready()
        if self._phase is _Phase.TELLING:
            if is_told(self._ledger):
                self._deadline_s = min(self._deadline_s, now_s + TOLD_S)
            if now_s >= self._deadline_s:
                if is_watched(self._ledger) and not is_told(self._ledger):
                    log.warning("ext_proc.stop.unheard", waited_s=self._options.drain_s)
                self._leave(now_s)
        elif self._phase is _Phase.LEAVING and now_s >= self._deadline_s:
            self._force()
        self._accept_if(self._staff.is_ready and now_s >= self._accept_from_s)

    def _accept_if(self, wanted: bool) -> None:
        if wanted == self._accepting:
            return
        self._accepting = wanted
        calls = () if self._phase is _Phase.LEAVING else ((CALLS, self._listener),)
        web = () if self._web_listener is None else ((WEB, self._web_listener),)
        for word, listener in (*calls, *web):
            if wanted:
                accept = _Accept(self, word, listener)
                self._selector.register(listener.socket, selectors.EVENT_READ, accept)
            else:
                self._selector.unregister(listener.socket)

    def hand_over(self, word: bytes, listener: Listener) -> None:
        """Give all connections that wait at *listener* to workers."""
        if listener.is_closed:
            return
        try:
            for connection in listener.accepted():
                self._staff.hand(word, connection)
                if not self._staff.is_ready:
                    return
        except OSError as error:
            # Nearly always too many open files: who waits is served when there are fewer.
            log.error("ext_proc.accept.failed", error_message=str(error))  # noqa: TRY400
            self._accept_from_s = monotonic() + NO_ROOM_PAUSE_S

    def _on_signal(self) -> None:
        with suppress(BlockingIOError):
            for _ in self._signal_read.recv(64):
                self._stop()

    def _stop(self) -> None:
        now_s = monotonic()
        if self._phase >= _Phase.TELLING:
            self._force()
        elif self._listener.is_taken_over() or not self._options.drain_s:
            self._leave(now_s)
        else:
            self._phase = _Phase.TELLING
            self._staff.tell(NOT_SERVING)
            watched = is_watched(self._ledger)
            self._deadline_s = now_s + (self._options.drain_s if watched else 0.0)

    def _leave(self, now_s: float) -> None:
        if self._accepting:
            self._selector.unregister(self._listener.socket)
        self._phase = _Phase.LEAVING
        self._listener.leave()
        if self._staff.is_ready:
            self.hand_over(CALLS, self._listener)
        self._listener.close()
        self._staff.tell(LEAVE)
        self._deadline_s = now_s + self._options.grace_s + KILLED_AFTER_S

    def _force(self) -> None:
        self.was_forced = True
        self._phase = _Phase.LEAVING
        self._deadline_s = float("inf")
        self._staff.kill()


class _Accept:
    """What to do when connections wait."""

    def __init__(self, parent: Parent, word: bytes, listener: Listener) -> None:
        self._parent = parent
        self._word = word
        self._listener = listener

    def __call__(self) -> None:
        self._parent.hand_over(self._word, self._listener)
