"""Streams for benchmarks: every event is counted, and its times are those of one clock."""

import asyncio
import json
import sys

from tests.support.token_load import load
from tests.support.token_server import token_server_process


async def test_every_event_of_every_stream_is_timed():
    async with token_server_process() as address:
        streamed = await load(address, streams=6, workers=3, events=4, gap_ms=1)

    assert streamed.failures == 0
    assert len(streamed.first_s) == 6
    assert len(streamed.late_s) == 6 * 3
    assert all(0 < late_s < 10 for late_s in (*streamed.first_s, *streamed.late_s))


async def test_as_a_process_it_prints_json():
    async with token_server_process() as address:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.token_load", address, "--streams", "2"),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()

    found = json.loads(printed)
    assert (len(found["first_s"]), found["late_s"], found["failures"]) == (2, [], 0)
