"""A server that answers every request alike and costs next to nothing, for measuring proxies.

Keep-alive and pipelining, `content-length` bodies only (411 for chunked ones). As a process:
`python -m tests.support.fast_upstream --port 0 --name a` prints its `host:port`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from xds_server.ext_proc.heap import keep_freed_memory

MAX_HEAD_BYTES = 64 * 1024
_LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def fixed_response(name: str) -> bytes:
    """Return the one answer of the server *name*: a chat completion."""
    message = {"role": "assistant", "content": f"This is {name}."}
    completion = {
        "id": "chatcmpl-fixed",
        "object": "chat.completion",
        "created": 0,
        "model": name,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
        "system_fingerprint": name,
    }
    body = json.dumps(completion).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-simulate-server: {name}\r\n\r\n"
    )
    return head.encode() + body


class FastUpstream(asyncio.Protocol):
    """One connection; `GET /health` is answered like everything else."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._buffer = b""
        self._body_left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._body_left > len(data):
            self._body_left -= len(data)
            return
        if self._body_left:
            data = data[self._body_left :]
            self._body_left = 0
            self._transport.write(self._response)
        self._buffer += data
        while self._buffer and not self._body_left and self._answer_next():
            pass

    def _answer_next(self) -> bool:
        """Answer the request at the head of the buffer; False if its head is not whole."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._refuse(_BAD_REQUEST)
            return False
        head = self._buffer[:end].lower()
        if b"\r\ntransfer-encoding:" in head:
            self._refuse(_LENGTH_REQUIRED)
            return False
        length = _content_length(head)
        if length is None:
            self._refuse(_BAD_REQUEST)
            return False
        arrived = len(self._buffer) - end - 4
        self._buffer = self._buffer[end + 4 + length :]
        if arrived < length:
            self._body_left = length - arrived
        else:
            self._transport.write(self._response)
        return True

    def _refuse(self, response: bytes) -> None:
        self._buffer = b""
        self._transport.write(response)
        self._transport.close()


def _content_length(head: bytes) -> int | None:
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    value = head[start + 17 :].partition(b"\r\n")[0].strip()
    return int(value) if value.isdigit() else None


@asynccontextmanager
async def fast_upstream(name: str, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve in this process meanwhile; gives `host:port`."""
    response = fixed_response(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FastUpstream(response), host, port)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def fast_upstream_process(name: str) -> AsyncIterator[str]:
    """Serve in a process of its own meanwhile; gives `host:port`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __spec__.name if __spec__ else __name__,
        *("--port", "0", "--name", name),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            address = (await process.stdout.readline()).decode().strip()
        assert address, "the fast upstream did not start"
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _serve(name: str, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with fast_upstream(name, host=host, port=port) as address:
        print(address, flush=True)
        await stopped.wait()


def main() -> None:
    # Else asyncio maps a buffer of 256 KiB for each read, which takes longer than all the rest.
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="fast-upstream")
    options = parser.parse_args()
    asyncio.run(_serve(options.name, options.host, options.port))


if __name__ == "__main__":
    main()
