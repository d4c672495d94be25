"""What the companion is told about the requests of a listener, beside each of them.

It has no configuration of its own: Envoy's filter sends what the registry says as metadata, as
`snapshots.resources.companion` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from snapshots.ir.names import DEFAULT_MODEL_METADATA, PREFIX_BYTES_METADATA

_DEFAULT_MODEL: Final = DEFAULT_MODEL_METADATA.encode()
_PREFIX_BYTES: Final = PREFIX_BYTES_METADATA.encode()


@dataclass(frozen=True, slots=True)
class Orders:
    """The same for all requests of a listener."""

    default_model: str = ""
    """The model of a body that names none; empty: it is refused."""
    prefix_bytes: int = 0
    """How much of the front of a prompt is to be hashed; 0: nothing."""


NO_ORDERS: Final = Orders()


def read_orders(metadata: Mapping[bytes, bytes]) -> Orders:
    """Return what the *metadata* of a call say; what cannot be read says nothing."""
    default_model = unquote_to_bytes(metadata.get(_DEFAULT_MODEL, b""))
    size = metadata.get(_PREFIX_BYTES, b"")
    if not default_model and not size:
        return NO_ORDERS
    return Orders(default_model.decode(errors="replace"), int(size) if size.isdigit() else 0)
