"""Connections on real sockets: too many, hostile ones, those that do not read, and their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import pytest
from structlog.testing import capture_logs

from tests.support.ext_proc_client import Companion, client_of, whole_body
from xds_server.ext_proc import connections as module
from xds_server.ext_proc.connections import Connections
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.wire.frames import (
    MAX_STREAM_ID,
    PREFACE,
    ErrorCode,
    Frame,
    frame,
    goaway,
    ping,
    settings,
    window_update,
)
from xds_server.ext_proc.wire.limits import Limits
from xds_server.line_budget import LINES_PER_S

LLAMA = b'{"model": "llama"}'
GREETING = PREFACE + settings({})

Serving = Callable[..., AbstractAsyncContextManager[tuple[Connections, str]]]


@asynccontextmanager
async def serving(**limits: int) -> AsyncIterator[tuple[Connections, str]]:
    """Serve meanwhile; gives the connections and the address."""
    connections = Connections(Metrics(), Limits(**limits))
    server = await asyncio.get_running_loop().create_server(connections.protocol, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(30):
            yield connections, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            server.close()
            await connections.drain(grace_s=0)
    finally:
        server.close()


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Companion]:
    alone = client_of(address)
    async with alone.channel:
        yield alone


@asynccontextmanager
async def raw(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_one_connection_too_many_is_closed_and_the_others_served():
    async with serving(max_connections=1) as (_, address), client(address) as first:
        assert await first.name_in(LLAMA) == "llama"
        async with raw(address) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(GREETING)
                await reader.read()

        assert await first.name_in(LLAMA) == "llama"


async def test_bytes_that_are_not_http2_end_their_connection_with_one_line_in_the_log():
    with capture_logs() as logged:
        async with serving() as (_, address), client(address) as fine:
            async with raw(address) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                got = await reader.read()

            assert await fine.name_in(LLAMA) == "llama"

    [failed] = [entry for entry in logged if entry["event"] == "ext_proc.connection.failed"]
    assert failed["error_message"] == "PROTOCOL_ERROR: that is not HTTP/2"
    assert got.endswith(failed["error_message"].encode())


async def test_peers_that_fail_again_and_again_do_not_fill_the_log():
    with capture_logs() as logged:
        async with serving() as (_, address):
            for _ in range(3 * LINES_PER_S):
                async with raw(address) as (reader, writer):
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    await reader.read()

    lines = [entry for entry in logged if entry["event"] == "ext_proc.connection.failed"]
    assert LINES_PER_S <= len(lines) <= 2 * LINES_PER_S


async def test_calls_that_are_crowded_out_are_told_in_one_line(monkeypatch):
    monkeypatch.setattr(module, "STALLED_AFTER_S", 0.05)
    long = LLAMA.ljust(200_000)
    with capture_logs() as logged:
        async with serving(first_bytes=1) as (_, address), client(address) as refused:
            with pytest.raises(grpc.aio.AioRpcError, match="too many bodies"):
                await refused.name_in(long)
            assert await refused.name_in(LLAMA) == "llama"
            async with asyncio.timeout(10):
                while not logged:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)

    assert logged[0]["event"] == "ext_proc.calls.crowded_out"
    assert logged[0]["calls"] == 1


async def test_a_peer_that_does_not_read_is_not_read_either():
    pings = ping(bytes(8), ack=False) * 10_000
    async with (
        serving(idle_frames=2**40) as (_, address),
        client(address) as fine,
        raw(address) as (reader, writer),
    ):
        writer.write(GREETING)
        for _ in range(1000):
            writer.write(pings)
            if not await drained(writer):
                break
        else:
            pytest.fail("170 MB of PINGs were taken from a peer that reads no answer")

        assert await fine.name_in(LLAMA) == "llama"
        reading = asyncio.ensure_future(reader.read())
        assert await drained(writer, within_s=20)
        reading.cancel()


async def drained(writer: asyncio.StreamWriter, within_s: float = 0.5) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await writer.drain()
    except TimeoutError:
        return False
    return True


async def test_draining_waits_for_a_call_in_flight_and_closes_idle_connections_at_once():
    async with (
        serving() as (connections, address),
        client(address) as busy,
        client(address) as idle,
    ):
        assert await idle.health_of("") == "SERVING"
        call = await busy.after_headers()
        draining = asyncio.ensure_future(connections.drain(grace_s=20))
        await idle.told_to_leave()
        await busy.told_to_leave()
        await call.write(whole_body(LLAMA))
        answer = await call.read()
        await draining

        assert answer.request_body.response.clear_route_cache
        assert await call.code() is grpc.StatusCode.OK


async def test_draining_cuts_what_is_left_when_the_grace_is_over():
    with capture_logs() as logged:
        async with serving() as (connections, address), client(address) as busy:
            call = await busy.after_headers()
            await connections.drain(grace_s=0.05)

            assert await call.code() is grpc.StatusCode.UNAVAILABLE

    assert {"ext_proc.connections.cut"} == {entry["event"] for entry in logged}


async def test_a_connection_that_comes_while_draining_is_told_to_leave():
    async with serving() as (connections, address), client(address) as busy:
        call = await busy.after_headers()
        draining = asyncio.ensure_future(connections.drain(grace_s=20))
        await busy.told_to_leave()
        async with raw(address) as (reader, writer):
            writer.write(GREETING)
            told = b""
            while goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR) not in told:
                told += await reader.read(100)
        await call.write(whole_body(LLAMA))
        await draining


async def test_a_peer_that_stalls_with_room_that_others_wait_for_is_ended(monkeypatch):
    monkeypatch.setattr(module, "STALLED_AFTER_S", 0.05)
    long = LLAMA.ljust(200_000)
    prefix = b"\x00" + len(long).to_bytes(4)
    with capture_logs() as logged:
        limits = {"max_body_bytes": 200_000, "buffered_bytes": 1}
        async with (
            serving(**limits) as (_, address),
            client(address) as fine,
            raw(address) as (reader, writer),
        ):
            block = (
                b"\x83\x86\x04\x34/envoy.service.ext_proc.v3.ExternalProcessor/Process"
                b"\x0f\x10\x10application/grpc"
            )
            opening = frame(Frame.HEADERS, 4, 1, block)
            writer.write(GREETING + opening + frame(Frame.DATA, 0, 1, prefix))
            while window_update(1, len(long) + 5 - 65_536) not in await reader.read(1000):
                pass

            assert await fine.name_in(long) == "llama"

    assert [entry["event"] for entry in logged].count("ext_proc.call.stalled") == 1
