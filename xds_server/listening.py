"""Taking a TCP address, or telling in one line which option could not be granted, and why."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Any

from xds_server.address import Address


class CannotListenError(Exception):
    """An address is not ours to take; the message names the option, the address and the reason."""

    def __init__(self, option: str, address: Address, error: OSError) -> None:
        # What Python adds to strerror repeats the address; a resolver's errno is not the system's.
        if error.errno and not isinstance(error, socket.gaierror):
            reason = os.strerror(error.errno)
        else:
            reason = error.strerror or str(error)
        super().__init__(f"cannot listen on {option} {address}: {reason}")


def listening_socket(option: str, address: Address) -> socket.socket:
    """Return a socket that listens on *address*, the value of *option*.

    Raises CannotListenError, be it that the name is unknown, the port is in use or not allowed.
    """
    try:
        family, _, _, _, target = _resolved(address)[0]
        return socket.create_server(target[:2], family=family)
    except OSError as error:
        raise CannotListenError(option, address, error) from error


def check_free(option: str, address: Address) -> None:
    """Raise CannotListenError if nobody could listen on *address* now.

    For a server that takes its port itself and tells less about a failure, such as gRPC's.
    """
    listening_socket(option, address).close()


def is_loopback(option: str, address: Address) -> bool:
    """Return whether only this machine can reach *address*, the value of *option*.

    Raises CannotListenError if its name is unknown.
    """
    try:
        return all(ip_address(target[0]).is_loopback for *_, target in _resolved(address))
    except OSError as error:
        raise CannotListenError(option, address, error) from error


def _resolved(address: Address) -> list[tuple[Any, ...]]:
    """Return what `getaddrinfo` knows of *address*, of which the first is listened on."""
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(found)
