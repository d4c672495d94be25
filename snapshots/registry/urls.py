"""Where an external provider is: `https://host[:port][/path]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from snapshots.registry.addresses import MAX_PORT, Address
from snapshots.registry.problems import ValueRefusedError

URL_PATTERN: Final = r"^https?://[^/?#@]+(/[^?#]*)?$"
PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "write https://api.example.com/v1"


@dataclass(frozen=True, slots=True)
class ProviderUrl:
    """The parts of a URL."""

    scheme: str
    address: Address
    authority: str
    """As servers are told it: host, and port where it is not the usual one."""
    path: str
    """What stands for `/v1`; empty: nothing was written."""

    @property
    def is_tls(self) -> bool:
        """Whether it is reached by TLS."""
        return self.scheme == "https"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what *text* means, or raise `ValueRefusedError`."""
        scheme, separator, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        if not separator or scheme not in PORTS or not host:  # may hold a secret: not repeated
            raise ValueRefusedError("not the URL of a provider", _EXAMPLE)
        if "@" in host or {"?", "#"} & set(rest):
            raise ValueRefusedError(
                "must hold host, port and path only", "secrets go to `auth.upstream`"
            )
        has_port = ":" in host.rpartition("]")[2]
        address = Address.parse(host if has_port else f"{host}:{PORTS[scheme]}")
        if not 0 < address.port <= MAX_PORT:
            raise ValueRefusedError("no server can be reached at port 0", _EXAMPLE)
        is_usual = address.port == PORTS[scheme]
        authority = str(address).rpartition(":")[0] if is_usual else str(address)
        return cls(scheme, address, authority, f"{slash}{path}".rstrip("/"))
