"""Where the companion listens, and whether it may: asked before gRPC is.

gRPC would take a Unix socket away from a living process, and it says of a port in use only that
binding failed. So each address is tried here first, and a failure is one line that names its cause.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from xds_server.address import Address

UNIX_SCHEME = "unix:"

# sockaddr_un.sun_path of Linux, less the terminating zero.
MAX_SOCKET_PATH_BYTES = 107


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


def claim(address: ListenAddress) -> None:
    """Make sure that *address* can be listened on, or raise ListenError.

    Creates the directory of a Unix socket, and removes a socket that a dead process left there.
    """
    with explained(address):
        if isinstance(address, UnixAddress):
            _claim_path(address.path)
        elif address.port:
            bound_socket(address).close()


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


def bound_socket(address: Address, *, shared: bool = False) -> socket.socket:
    """Return a TCP socket that is bound to *address* and does not listen, or raise OSError.

    *shared* lets other sockets of the same user bind to the port as well (SO_REUSEPORT).
    """
    family, kind, _, _, name = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind)
    try:
        # As gRPC does, so that connections in TIME_WAIT do not keep a restart from its port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(name)
    except OSError:
        bound.close()
        raise
    return bound


def _claim_path(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        if _answers(path):
            raise ListenError(f"cannot listen on unix:{path}: a running process listens there")
        path.unlink()
    elif path.exists():
        raise ListenError(f"cannot listen on unix:{path}: that is a file and not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError as error:
            error.filename = str(path)  # bind itself does not say what it could not create
            raise
    path.unlink()


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
