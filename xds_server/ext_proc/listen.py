"""Where the companion listens, whether it may, and how it leaves; a failure is one line."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from xds_server.address import Address

UNIX_SCHEME = "unix:"

# sockaddr_un.sun_path of Linux, less the terminating zero.
MAX_SOCKET_PATH_BYTES = 107

BACKLOG = 1024
"""Connections that may wait to be accepted."""


class ListenError(Exception):
    """An address cannot be listened on; the message is one line and says why."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: Path

    @override
    def __str__(self) -> str:
        return f"{UNIX_SCHEME}{self.path}"


ListenAddress = UnixAddress | Address


def parse_listen_address(text: str) -> ListenAddress:
    """Return the address that *text* names (`unix:/path` or `host:port`), or raise ValueError."""
    if not text.startswith(UNIX_SCHEME):
        try:
            return Address.parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, nor is it unix:/path/to.sock") from None
    path = text.removeprefix(UNIX_SCHEME)
    if not path or "\0" in path:
        raise ValueError(f"{text!r} names no file, such as unix:/run/modelyard/ext-proc.sock")
    if len(path.encode(errors="surrogateescape")) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"{text!r}: the path of a Unix socket has at most {MAX_SOCKET_PATH_BYTES} bytes"
        )
    return UnixAddress(Path(path))


@contextlib.contextmanager
def explained(address: ListenAddress) -> Iterator[None]:
    """Turn an OSError of the block into a ListenError about *address*."""
    try:
        yield
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        # Positive numbers are the system's; name resolution has numbers and words of its own.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise ListenError(f"cannot listen on {address}: {reason}{place}") from error


class Listener:
    """A socket that listens on `address`, in which port 0 was replaced by the port chosen.

    Connections wait in its queue until they are accepted.
    """

    def __init__(self, bound: socket.socket, address: ListenAddress, path: Path | None) -> None:
        self.socket = bound
        self.address = address
        self._path = path
        """Where the socket is now; None for TCP."""
        self._identity = _identity(path) if path else None

    def publish(self) -> None:
        """Take the place of whoever listens on the path of a Unix socket, at one stroke."""
        address = self.address
        if isinstance(address, UnixAddress) and self._path not in {None, address.path}:
            with explained(address):
                self._path = self._path.rename(address.path)

    @property
    def is_closed(self) -> bool:
        """Whether it listens no more."""
        return self.socket.fileno() < 0

    def is_taken_over(self) -> bool:
        """Tell whether another process listens on our path by now."""
        return self._path is not None and _identity(self._path) not in {None, self._identity}

    def leave(self) -> None:
        """Let nobody find us any more; a successor may start at once."""
        if self._path is not None and _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)

    def accepted(self) -> Iterator[socket.socket]:
        """Yield the connections that wait, a bounded number; raises OSError if there is no room."""
        for _ in range(BACKLOG):
            try:
                connection, _ = self.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection

    def close(self) -> None:
        """Stop listening."""
        self.leave()
        self.socket.close()


@contextlib.contextmanager
def listening(address: ListenAddress, *, take_over: bool = False) -> Iterator[Listener]:
    """Listen on *address* during the block, or raise ListenError.

    The directory of a Unix socket is created, and a socket that a dead process left is replaced.
    With *take_over* that of a living one is too, once `publish` is called.
    """
    with explained(address):
        if isinstance(address, UnixAddress):
            listener = _listening_on_path(address, take_over=take_over)
        else:
            listener = _listening_on_port(address)
    try:
        yield listener
    finally:
        listener.close()


def _listening_on_port(address: Address) -> Listener:
    family, kind, _, _, name = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind)
    try:
        # So that connections in TIME_WAIT do not keep a restart from its port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(name)
        _listen(bound)
    except OSError:
        bound.close()
        raise
    return Listener(bound, Address(address.host, bound.getsockname()[1]), None)


def _listening_on_path(address: UnixAddress, *, take_over: bool) -> Listener:
    path = address.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_socket() and path.exists():
        raise ListenError(f"cannot listen on {address}: that is a file and not a socket")
    if take_over:
        # Not after our process: companions in containers share a folder, and are all number 1.
        path = path.with_name(f".{secrets.token_hex(4)}")
    elif path.is_socket() and _answers(path):
        raise ListenError(f"cannot listen on {address}: a running process listens there")
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        _listen(bound)
    except OSError as error:
        bound.close()
        error.filename = str(path)  # bind itself does not say what it could not create
        raise
    return Listener(bound, address, path)


def _listen(bound: socket.socket) -> None:
    bound.listen(BACKLOG)
    bound.setblocking(False)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file *path* from any other that lives; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _answers(path: Path) -> bool:
    """Tell whether a process listens on the socket *path*, even one too busy to accept."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
    return True
