"""Where something listens: `host:port`, the host an IPv4, a bracketed IPv6 or a DNS name."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from typing_extensions import override

from snapshots.registry.problems import ValueRefusedError, code

ADDRESS_PATTERN: Final = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}$"

HOST_NAME_PATTERN: Final = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$"

MAX_PORT: Final = 65535
_MAX_HOST_CHARACTERS: Final = 253
_EXAMPLE: Final = "write host:port, such as 10.0.0.1:8000"
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host and a TCP port; `str()` gives it back as it is written in the file."""

    host: str
    """An IPv4 or IPv6 address (without brackets) or a DNS name."""
    port: int
    """0 to 65535."""

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, not a DNS name."""
        return _is_ip(self.host)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that *text* means, or raise `ValueRefusedError`."""
        if "://" in text:
            bare = text.partition("://")[2].partition("/")[0]
            raise ValueRefusedError(
                f"{code(text)} is a URL, not an address",
                f"write {code(bare)}" if bare else _EXAMPLE,
            )
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise ValueRefusedError(f"{code(text)} has no host and port", _EXAMPLE)
        if not _PORT.fullmatch(port) or int(port) > MAX_PORT:
            raise ValueRefusedError(
                f"{code(port)} is not a port", "a port is a number up to 65535, as in 10.0.0.1:8000"
            )
        return cls(_parse_host(host), int(port))


def _parse_host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        if not _is_ip(text[1:-1]) or ":" not in text:
            raise ValueRefusedError(
                f"{code(text)} is not an IPv6 address", "write it as [::1]:8000"
            )
        return str(ipaddress.IPv6Address(text[1:-1]))
    if ":" in text:
        raise ValueRefusedError(
            f"{code(text)} is not a host", "put an IPv6 address in brackets: '[::1]:8000'"
        )
    if not _is_host_name(text):
        raise ValueRefusedError(f"{code(text)} is neither an IP address nor a DNS name", _EXAMPLE)
    return text


@lru_cache(maxsize=65_536)  # asked several times of every endpoint, at every edit
def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone index means something on one machine only


def _is_host_name(text: str) -> bool:
    if text.rstrip(".").rpartition(".")[2].isdecimal():
        return _is_ip(text)  # a name never ends in a number: RFC 3696, section 2
    labels = text.removesuffix(".").split(".")
    return len(text) <= _MAX_HOST_CHARACTERS and all(map(_LABEL.fullmatch, labels))


def is_host_name(text: str) -> bool:
    """Return whether *text* is a DNS name, not an IP address."""
    return _is_host_name(text) and not _is_ip(text)
