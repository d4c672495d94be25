"""What a client's header block asks for, looked up once for all blocks that are the same."""

from __future__ import annotations

from xds_server.ext_proc.wire.grpc import Method, Service, opened_by
from xds_server.ext_proc.wire.headers import HeaderDecoder, repeatable

_MOST = 32
_LONGEST_BYTES = 256


class Openings:
    """The methods that the header blocks of one connection name.

    Envoy sends the same block for each request but the first; decoding it takes ten times as long
    as all else that is done with it.
    """

    def __init__(self, service: Service, max_header_bytes: int) -> None:
        self._service = service
        self._decoder = HeaderDecoder(max_header_bytes)
        self._known: dict[bytes, Method | bytes | None] = {}

    def asked_for(self, block: bytes) -> Method | bytes | None:
        """Return what *block* asks for, as `opened_by` tells it; it must be the next to come."""
        try:
            return self._known[block]
        except KeyError:
            return self._decoded(block)

    def _decoded(self, block: bytes) -> Method | bytes | None:
        method = opened_by(self._decoder.decode(block), self._service)
        if not repeatable(block):
            # It has changed the table to which the others may refer.
            self._known.clear()
        elif len(block) <= _LONGEST_BYTES:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[block] = method
        return method
