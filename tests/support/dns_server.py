"""A DNS server whose one answer for every name can be changed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from typing_extensions import override

HEAD_BYTES = 12
TYPE_A = 1
ANSWER = b"\x84\x00"  # a response, of an authority, without an error
TTL_S = 1


class DnsServer(asyncio.DatagramProtocol):
    """Answers with `addresses`, all of IPv4."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.host, self.port = "", 0
        self.asked = 0
        self._transport: asyncio.DatagramTransport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.host, self.port = transport.get_extra_info("sockname")

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, HEAD_BYTES) + 5
        kind = int.from_bytes(data[end - 4 : end - 2])
        found = self.addresses if kind == TYPE_A else []
        self.asked += 1
        counts = b"".join(n.to_bytes(2) for n in (1, len(found), 0, 0))
        answers = b"".join(map(_record, found))
        self._transport.sendto(data[:2] + ANSWER + counts + data[HEAD_BYTES:end] + answers, addr)


def _record(address: str) -> bytes:
    """Return an A record of the name that was asked for."""
    head = b"\xc0\x0c" + TYPE_A.to_bytes(2) + b"\x00\x01" + TTL_S.to_bytes(4)
    return head + b"\x00\x04" + socket.inet_aton(address)


@asynccontextmanager
async def dns_server(*addresses: str) -> AsyncIterator[DnsServer]:
    """Run a DNS server on a free port."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: DnsServer([*addresses]), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
