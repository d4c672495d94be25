"""HTTP/1.1 responses out of bytes, whole ones only; no sockets.

Knows `content-length` and chunked bodies, which is what proxies send on kept-alive connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class ResponseError(ValueError):
    """Bytes that are no HTTP/1.1 response of a known length."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response; header names in lower case, the last of equal names wins."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


class ResponseParser:
    """Collects bytes until a response is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._body_start = 0
        self._scanned = 0
        self._chunks: list[bytes] = []

    @property
    def left_over(self) -> bool:
        """Whether bytes are there that belong to no response yet."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Response | None:
        """Add *data*; return the response once it is whole, else None. ResponseError if bad."""
        self._buffer += data
        while self._head is None:
            if not self._read_head():
                return None
        status, headers = self._head
        body = self._read_body(status, headers)
        if body is None:
            return None
        del self._buffer[: self._scanned]
        self._head = None
        self._chunks = []
        return Response(status, headers, body)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        status_line, *lines = self._buffer[:end].decode("utf-8", "replace").split("\r\n")
        if not status_line.startswith("HTTP/1.1 ") or not status_line[9:12].isdecimal():
            raise ResponseError(f"not an HTTP/1.1 status line: {status_line[:80]!r}")
        status = int(status_line[9:12])
        if status < 200:
            del self._buffer[: end + 4]
            return bool(self._buffer)
        pairs = (line.partition(":") for line in lines)
        self._head = (status, {name.lower(): value.strip() for name, _, value in pairs})
        self._scanned = self._body_start = end + 4
        return True

    def _read_body(self, status: int, headers: dict[str, str]) -> bytes | None:
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._read_chunks()
        if "content-length" not in headers:
            raise ResponseError("neither content-length nor chunked")
        end = self._body_start + int(headers["content-length"])
        if len(self._buffer) < end:
            return None
        self._scanned = end
        return bytes(self._buffer[self._body_start : end])

    def _read_chunks(self) -> bytes | None:
        while (line_end := self._buffer.find(b"\r\n", self._scanned)) >= 0:
            size = int(bytes(self._buffer[self._scanned : line_end]).partition(b";")[0], 16)
            if size == 0:
                return self._read_trailers(line_end)
            start, end = line_end + 2, line_end + 2 + size
            if len(self._buffer) < end + 2:
                return None
            self._chunks.append(bytes(self._buffer[start:end]))
            self._scanned = end + 2
        return None

    def _read_trailers(self, last_line_end: int) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n", last_line_end)
        if end < 0:
            return None
        self._scanned = end + 4
        return b"".join(self._chunks)
