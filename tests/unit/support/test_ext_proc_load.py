"""The caller that measures companions."""

import asyncio
import socket

import pytest

from tests.support.ext_proc_load import load, load_by_process
from tests.support.ext_proc_process import companion_process


@pytest.mark.parametrize("body_bytes", [100, 50_000])
async def test_every_call_is_answered_with_the_name_of_the_model(tmp_path, body_bytes):
    async with companion_process(f"unix:{tmp_path / 's'}"):
        came = await load_by_process(
            str(tmp_path / "s"), calls=60, body_bytes=body_bytes, connections=3, at_once=4
        )

    assert came.calls == 60
    assert came.per_second > 0
    assert came.own_cpu_s > 0


async def test_a_companion_that_ends_the_connection_is_an_error(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        calls = asyncio.ensure_future(
            asyncio.to_thread(
                load, str(tmp_path / "s"), calls=1, body_bytes=1, connections=1, at_once=1
            )
        )
        accepted, _ = await asyncio.to_thread(listener.accept)
        accepted.close()

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await calls
