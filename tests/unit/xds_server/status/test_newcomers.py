"""Strangers hold few connections to the status address, and not for long."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from xds_server.address import Address
from xds_server.status.door import StatusAccess, StatusDoor
from xds_server.status.newcomers import Newcomers
from xds_server.status.serving import serving
from xds_server.status.web import status_app

TOKEN = "t" * 32
ASKING = (
    f"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
)
ASKING_IN_VAIN = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PROBE = b"GET /readyz HTTP/1.1\r\nHost: probe\r\n\r\n"
LONG_S = 300.0


@asynccontextmanager
async def guarded(tmp_path, newcomers):
    (tmp_path / "tokens").write_text(TOKEN)
    door = StatusDoor(StatusAccess(tmp_path / "tokens"))
    await door.load()
    door.newcomers = newcomers
    app = status_app(dict, lambda: True, CollectorRegistry(), door=door)
    async with asyncio.timeout(20), serving(app, Address("127.0.0.1", 0), newcomers) as address:
        yield address


@asynccontextmanager
async def connection(address, sent=b""):
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(sent)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def is_cut(connected):
    """Return True once the connection has ended; what it still tells is left out."""
    with suppress(ConnectionResetError):
        await connected[0].read()
    return True


async def answer(connected, request=b""):
    """Return the status code of the next answer."""
    reader, writer = connected
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    await reader.readexactly(int(length.split()[1]))
    return int(head.split()[1])


@pytest.mark.parametrize(
    "sent", [b"", b"GET /status HTTP/1.1\r\nX: ", ASKING_IN_VAIN, ASKING_IN_VAIN * 3]
)
async def test_who_is_silent_or_asks_in_vain_is_cut(tmp_path, sent):
    async with (
        guarded(tmp_path, Newcomers(patience_s=0.1)) as address,
        connection(address, sent) as stranger,
    ):
        assert await is_cut(stranger)


async def test_who_shows_a_token_or_probes_may_stay(tmp_path):
    async with (
        guarded(tmp_path, Newcomers(patience_s=2.0)) as address,
        connection(address) as friend,
        connection(address) as probe,
    ):
        before = [await answer(friend, ASKING), await answer(probe, PROBE)]
        async with connection(address) as stranger:
            assert await is_cut(stranger)
        after = [await answer(friend, ASKING), await answer(probe, PROBE)]

    assert before == after == [200, 200]


async def test_of_too_many_strangers_the_oldest_gives_way(tmp_path):
    crowded = []
    newcomers = Newcomers(lambda: crowded.append(1), LONG_S, limit=3)
    async with (
        guarded(tmp_path, newcomers) as address,
        connection(address) as friend,
    ):
        assert await answer(friend, ASKING) == 200
        async with (
            connection(address) as oldest,
            connection(address, ASKING_IN_VAIN) as second,
            connection(address) as third,
            connection(address) as fourth,
        ):
            assert await is_cut(oldest)
            assert await answer(second) == 401
            assert await answer(third, PROBE) == 200
            assert await answer(fourth, ASKING) == 200
        assert await answer(friend, ASKING) == 200

    assert crowded == [1]


async def test_who_probes_gives_way_after_who_has_said_nothing(tmp_path):
    async with (
        guarded(tmp_path, Newcomers(patience_s=LONG_S, limit=2)) as address,
        connection(address) as probe,
        connection(address) as silent,
    ):
        assert await answer(probe, PROBE) == 200
        async with connection(address):
            assert await is_cut(silent)
        assert await answer(probe, PROBE) == 200


async def test_who_leaves_makes_room(tmp_path):
    crowded = []
    newcomers = Newcomers(lambda: crowded.append(1), LONG_S, limit=2)
    async with guarded(tmp_path, newcomers) as address:
        for _ in range(5):
            async with connection(address, PROBE) as probe:
                assert await answer(probe) == 200
                probe[1].write_eof()
                assert await is_cut(probe)

    assert not crowded
