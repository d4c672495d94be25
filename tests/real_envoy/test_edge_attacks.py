"""Requests that should reach no server, as raw bytes: what docs/edge.md says comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re

import pytest
import pytest_asyncio

from tests.support.attacks import (
    BODY,
    CHUNKED,
    CHUNKS,
    HTTP1,
    LENGTH,
    SMUGGLED,
    each_http1,
    each_http2,
    request,
)
from tests.support.deployment import deployment
from tests.support.edge_page import told_answers
from tests.support.http2_frames import http2_outcome
from tests.support.raw_server import raw_server
from xds_server.address import Address

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
gateways: {default: {listen: "<gateway>", access_log: "LOG"}}
pools:
  one: {endpoints: ["<raw>"], health_check: false}
models:
  one: {pool: one, paths: [/v1/one]}
"""
NEXT = b"GET /v1/models HTTP/1.1\r\nhost: next\r\nconnection: close\r\n\r\n"
WITHIN_S = 20.0
MIXTURES = 600
PARTS = sorted(
    {
        line
        for wires in HTTP1.values()
        for wire in wires
        for line in wire.partition(b"\r\n\r\n")[0].split(b"\r\n")[2:]
        if len(line) < 200
    }
    | {LENGTH, CHUNKED}
)
"""Lines of headers."""
HEAD = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    async with raw_server() as server:
        template = REGISTRY.replace("<raw>", server.address).replace("LOG", "/dev/null")
        async with deployment(template, (), folder, variant) as deployed:
            yield deployed, server


async def http1_outcome(gateway: Address, wire: bytes, *, strict: bool = True) -> str:
    """Return what comes of *wire*, in the words of the page; a request follows it at once.

    Where *strict*, what is refused must end the connection.
    """
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    try:
        writer.write(wire + NEXT)
        heard = b""
        async with asyncio.timeout(WITHIN_S):
            with contextlib.suppress(ConnectionError):  # what it did not read makes it a reset
                while data := await reader.read(2**16):
                    heard += data
    finally:
        writer.transport.abort()
    if not heard:
        return "connection closed"
    heads = [(int(status), lines) for status, lines in HEAD.findall(heard)]
    if [status for status, _ in heads] == [200, 200]:
        return "passes, cleaned"
    status, lines = heads[0]
    if status == 307:
        [place] = re.findall(rb"location: (\S+)", lines)
        return "307" if re.match(rb"/[^/\\]", place) else f"307 to {place!r}"
    if strict and status != 405:  # after which the connection is as good as ever
        assert len(heads) == 1, heads
    code = re.search(rb'"code": ?"(\w+)"', heard)
    return f"{status} `{code[1].decode()}`" if code else str(status)


async def test_an_attack_over_http1_gets_what_the_page_says(guarded):
    deployed, server = guarded
    attacks = list(each_http1())
    outcomes = await asyncio.gather(*(http1_outcome(deployed.gateway, w) for _, w in attacks))
    told = told_answers()

    for (row, wire), outcome in zip(attacks, outcomes, strict=True):
        assert outcome == told[row].http1, (row, wire[:200])
    assert nothing_smuggled(server)


async def test_an_attack_over_http2_gets_what_the_page_says(guarded):
    deployed, server = guarded
    attacks = list(each_http2())
    outcomes = await asyncio.gather(
        *(http2_outcome(deployed.gateway, headers, BODY) for _, headers in attacks)
    )
    told = told_answers()

    for (row, headers), outcome in zip(attacks, outcomes, strict=True):
        assert outcome == told[row].http2, (row, headers[-1])
    assert nothing_smuggled(server)


def mixed(number: int, chance: random.Random) -> bytes:
    """Return a request to a path of its own, of parts of all attacks, with another behind it."""
    lines = chance.sample(PARTS, chance.randint(1, 4))
    body = chance.choice([BODY, CHUNKS, CHUNKS + SMUGGLED, b"0\r\n\r\n" + SMUGGLED, SMUGGLED, b""])
    return request(*lines, body=body, line=b"POST /v1/one/%d HTTP/1.1" % number)


async def test_no_mixture_of_them_smuggles_anything(guarded):
    """Where a server is reached, it is by the request itself, once, and by nothing behind it."""
    deployed, server = guarded
    chance = random.Random(14)
    already = len(server.requests)
    gate = asyncio.Semaphore(100)

    async def attack(number: int) -> str:
        async with gate:
            return await http1_outcome(deployed.gateway, mixed(number, chance), strict=False)

    outcomes = await asyncio.gather(*(attack(number) for number in range(MIXTURES)))
    paths = [head.split(b" ", 2)[1] for head in server.requests[already:]]

    assert len(set(outcomes)) > 2
    assert len(paths) == len(set(paths))
    assert all(re.fullmatch(rb"/v1/\d+", path) for path in paths), paths
    assert nothing_smuggled(server)


async def test_what_is_sent_cannot_write_lines_of_its_own_into_the_log(tmp_path, variant):
    log = tmp_path / "access.log"
    wires = [
        request(LENGTH, line=b'POST /v1/one/","status":200,"x":" HTTP/1.1'),
        request(LENGTH, line=b"POST /v1/one/%0a%22 HTTP/1.1"),
        request(LENGTH, b'x-request-id: "\t}', line=b'POST /v1/one/\\%5c" HTTP/1.1'),
        request(LENGTH, CHUNKED),
    ]
    async with raw_server() as server:
        template = REGISTRY.replace("<raw>", server.address).replace("LOG", str(log))
        async with deployment(template, (), tmp_path, variant) as deployed:
            for wire in wires:
                await http1_outcome(deployed.gateway, wire)
    lines = [json.loads(line) for line in log.read_text().splitlines()]

    refused = [line for line in lines if line["status"] == 400]
    assert len(lines) >= len(wires)
    assert "http1.content_length_and_chunked_not_allowed" in {line["details"] for line in refused}


def nothing_smuggled(server) -> bool:
    """Tell whether no server was reached by anything but the request that Envoy had understood."""
    lines = server.lines()
    assert lines
    return not [line for line in lines if line.startswith((b"GET /smuggled", b"x-smuggled"))]
