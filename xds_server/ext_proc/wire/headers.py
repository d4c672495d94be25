"""Header blocks: a client's to fields, and ours to bytes (RFC 7541).

Blocks that we send use no dynamic table, so that one can be prepared once and sent on every
connection.
"""

from __future__ import annotations

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from xds_server.ext_proc.wire.frames import ErrorCode, ViolationError

Fields = list[tuple[bytes, bytes]]

_INDEXED = 0x80
_LITERALS_UNINDEXED = 0x20
"""Below it: fields that enter no table (RFC 7541 sections 6.2.2 and 6.2.3)."""
_MORE = 0x80
_STATUS_200 = b"\x88"


class HeaderDecoder:
    """The client's side of one connection's compression."""

    def __init__(self, max_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=max_bytes)

    def decode(self, block: bytes) -> Fields:
        """Return the fields of *block*, or raise ViolationError: what follows is unreadable."""
        try:
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ViolationError(
                ErrorCode.ENHANCE_YOUR_CALM, "the headers are too large"
            ) from error
        except HPACKError as error:
            raise ViolationError(ErrorCode.COMPRESSION_ERROR, "headers cannot be read") from error


def repeatable(block: bytes) -> bool:
    """Tell whether *block*, which was decoded, neither enters a field into a table nor resizes it.

    Such a block means the same again, until another kind of block comes.
    """
    at = 0
    while at < len(block):
        kind = block[at]
        if kind >= _INDEXED:
            _, at = _integer(block, at, 7)
        elif kind >= _LITERALS_UNINDEXED:
            return False
        else:
            named_by_table, at = _integer(block, at, 4)
            for _ in range(1 if named_by_table else 2):
                length, at = _integer(block, at, 7)
                at += length
    return True


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return the integer in the last *bits* of a byte, and where it ends (RFC 7541 section 5.1)."""
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    shift = 0
    while True:
        value += (block[at] & 0x7F) << shift
        shift += 7
        at += 1
        if block[at - 1] < _MORE:
            return value, at


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field that refers to no table and enters none; *name* has up to 126 bytes."""
    return b"\x00%c%b%b%b" % (len(name), name, _length(len(value)), value)


def _length(length: int) -> bytes:
    """Return the length of a string that is not Huffman coded (RFC 7541 section 5.1)."""
    limit = 0x7F
    if length < limit:
        return bytes((length,))
    encoded = bytearray((limit,))
    length -= limit
    while length > limit:
        encoded.append(length & limit | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


RESPONSE = _STATUS_200 + literal(b"content-type", b"application/grpc")
"""What every answer of gRPC begins with."""
