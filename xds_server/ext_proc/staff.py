"""The workers as their parent sees them: who lives, who has least to do, who is to start again."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import NoReturn

import structlog

from xds_server.ext_proc.ledger import Column, Ledger, Row, forget_the_dead
from xds_server.ext_proc.server import CompanionOptions
from xds_server.ext_proc.worker import LEAVE, READY, TAKEN, work

HELD_S = 10.0
"""Who lived as long did not die of its start."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
HUNG_TICKS = 10
"""About seconds in which a worker did nothing at all, not even beat."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Worker:
    """One place, taken by one process after the other."""

    index: int
    row: Row
    pid: int = 0
    control: socket.socket | None = None
    is_ready: bool = False
    is_full: bool = False
    """Whether its mailbox is, since the last tick."""
    handed: deque[tuple[bytes, socket.socket]] = field(default_factory=deque)
    """Connections on their way to it, which are handed to another if it dies now."""
    taken: int = 0
    """How many are no longer on their way."""
    started_s: float = 0.0
    early_deaths: int = 0
    start_s: float = float("inf")
    """When it is to be started, on the monotonic clock."""
    beat: int = 0
    silent_ticks: int = 0

    @property
    def is_willing(self) -> bool:
        return self.is_ready and not self.is_full

    @property
    def load(self) -> tuple[int, int]:
        """Connections open, or on their way to it; then those that it ever had."""
        had = self.row[Column.CONNECTIONS_OPENED]
        return len(self.handed) + had - self.row[Column.CONNECTIONS_CLOSED], had

    def let_go_of_taken(self) -> None:
        """Close what it has taken: else that would stay open when it closes it."""
        while self.taken < self.row[Column.CONNECTIONS_TAKEN]:
            self.handed.popleft()[1].close()
            self.taken += 1
            self.is_full = False


class Staff:
    """All workers; *in_child* is called in each of them right after the fork."""

    def __init__(
        self,
        ledger: Ledger,
        options: CompanionOptions,
        selector: selectors.BaseSelector,
        in_child: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._options = options
        self._selector = selector
        self._in_child = in_child
        self._workers = [_Worker(index, row) for index, row in enumerate(ledger.rows)]
        self._ticked_s = monotonic()
        self._unwanted: list[tuple[bytes, socket.socket]] = []
        self._are_leaving = False
        self._are_killed = False

    @property
    def alive(self) -> bool:
        """Whether any process is left."""
        return any(worker.pid for worker in self._workers)

    @property
    def is_complete(self) -> bool:
        """Whether all are ready."""
        return all(worker.is_ready for worker in self._workers)

    @property
    def is_ready(self) -> bool:
        """Whether any can take a connection."""
        return any(worker.is_willing for worker in self._workers)

    @property
    def next_start_s(self) -> float:
        """When the next one is to be started; infinity if none is."""
        return min(worker.start_s for worker in self._workers)

    def start(self) -> None:
        """Start all."""
        for worker in self._workers:
            self._start(worker)

    def look_after(self, now_s: float, *, may_start: bool) -> None:
        """Start again who is to be, and end who hangs."""
        for worker in self._workers:
            if worker.start_s <= now_s:
                worker.start_s = float("inf")
                if may_start:
                    self._start(worker)
        if now_s - self._ticked_s >= 1.0:
            self._ticked_s = now_s
            for worker in self._workers:
                self._tick(worker)
            self._hand_unwanted()

    def hand(self, word: bytes, connection: socket.socket) -> None:
        """Give *connection* to the one with the fewest; it waits if no one can take it now."""
        for worker in sorted(self._workers, key=lambda worker: worker.load):
            if worker.is_willing and _sent(worker, word, connection):
                worker.handed.append((word, connection))
                return
        self._unwanted.append((word, connection))

    def tell(self, word: bytes) -> None:
        """Say *word* to all."""
        self._are_leaving = self._are_leaving or word == LEAVE
        for worker in self._workers:
            _sent(worker, word)

    def kill(self) -> None:
        """End all at once."""
        self._are_killed = True
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    def _start(self, worker: _Worker) -> None:
        worker.started_s = monotonic()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._put_off(worker, error)
            return
        with theirs:
            try:
                pid = os.fork()
            except OSError as error:
                ours.close()
                self._put_off(worker, error)
                return
            if not pid:
                ours.close()
                self._be(worker, theirs)
        ours.setblocking(False)
        worker.row[Column.STARTS] += 1
        worker.pid, worker.control = pid, ours
        worker.silent_ticks = 0
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, worker, ours))

    def _put_off(self, worker: _Worker, error: OSError) -> None:
        """Start *worker* later, as there is no room for a process now."""
        log.error("ext_proc.worker.unstarted", worker=worker.index, error_message=str(error))
        worker.start_s = worker.started_s + LONGEST_PAUSE_S

    def _be(self, worker: _Worker, control: socket.socket) -> NoReturn:
        """Be a worker, and never return."""
        code = 1
        try:
            self._let_go()
            self._in_child()
            work(control, self._ledger, worker.index, self._options)
            code = 0
        except Exception:
            log.exception("ext_proc.worker.failed", worker=worker.index)
        finally:
            os._exit(code)

    def _let_go(self) -> None:
        """Close, in a worker just forked, what is others': they would not see its end."""
        for other in self._workers:
            if other.control is not None:
                other.control.close()
            self._unwanted += other.handed
        for _, connection in self._unwanted:
            connection.close()

    def _hear(self, worker: _Worker, control: socket.socket) -> None:
        try:
            word = control.recv(1)
        except ConnectionResetError:
            word = b""
        if word == READY:
            worker.is_ready = True
            self._hand_unwanted()
        elif word == TAKEN:
            worker.let_go_of_taken()
        elif not word:
            self._selector.unregister(control)
            control.close()
            self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        """Note that a process has ended, and when the next is to take its place."""
        pid, (_, status) = worker.pid, os.waitpid(worker.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        worker.let_go_of_taken()
        worker.taken = 0
        forget_the_dead(worker.row)
        worker.pid, worker.control, worker.is_ready, worker.is_full = 0, None, False, False
        self._unwanted += worker.handed
        worker.handed.clear()
        self._hand_unwanted()
        now_s = monotonic()
        pause_s = _pause_s(worker, now_s)
        worker.start_s = now_s + pause_s
        words = {"worker": worker.index, "pid": pid, "exit_code": code}
        if not self._are_leaving and not self._are_killed:
            log.warning("ext_proc.worker.ended", **words, restart_in_s=pause_s)
        elif code and not self._are_killed:
            log.warning("ext_proc.worker.ended", **words)

    def _hand_unwanted(self) -> None:
        waiting, self._unwanted = self._unwanted, []
        for word, connection in waiting:
            self.hand(word, connection)

    def _tick(self, worker: _Worker) -> None:
        worker.let_go_of_taken()
        worker.is_full = False
        beat = worker.row[Column.BEAT]
        worker.silent_ticks = worker.silent_ticks + 1 if beat == worker.beat else 0
        worker.beat = beat
        if worker.pid and worker.silent_ticks >= HUNG_TICKS:
            log.error("ext_proc.worker.hung", worker=worker.index, pid=worker.pid)
            os.kill(worker.pid, signal.SIGKILL)


def _sent(worker: _Worker, word: bytes, connection: socket.socket | None = None) -> bool:
    """Say *word* to *worker*; False if it cannot hear, because it is dead or does not listen."""
    if worker.control is None:
        return False
    try:
        if connection is None:
            worker.control.send(word)
        else:
            socket.send_fds(worker.control, [word], [connection.fileno()])
    except BlockingIOError:
        worker.is_full = True
        return False
    except OSError:
        return False
    return True


def _pause_s(worker: _Worker, now_s: float) -> float:
    """Return how long to wait before *worker* is started again: longer if it dies of its start."""
    if now_s - worker.started_s >= HELD_S:
        worker.early_deaths = 0
        return 0.0
    worker.early_deaths += 1
    if worker.early_deaths == 1:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (worker.early_deaths - 2))
