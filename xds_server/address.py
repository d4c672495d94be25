"""A network address as operators write it: `HOST:PORT`, with brackets around IPv6.

Does not know `unix:` addresses, nor resolves names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from typing_extensions import override

MAX_PORT = 65535

_BRACKETED = re.compile(
    r"\[(?P<host>[0-9A-Fa-f:.%\w]*:[0-9A-Fa-f:.%\w]*)\]:(?P<port>[0-9]+)", re.ASCII
)
_PLAIN = re.compile(r"(?P<host>[\w.-]+):(?P<port>[0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name, IPv4, or IPv6 without brackets) and a TCP port; port 0 asks for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that *text* names, or raise ValueError with a hint."""
        if not (parts := _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)):
            raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:18000 or [::1]:18000")
        if (port := int(parts["port"])) > MAX_PORT:
            raise ValueError(f"{text!r}: a port is a number from 0 to {MAX_PORT}")
        return cls(parts["host"], port)

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
