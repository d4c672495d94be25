"""The companion's own HTTP/2 server and gRPC's client, which shares no line of code with it."""

from __future__ import annotations

import asyncio
import json
import threading

import grpc
import pytest
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingResponse

from tests.support.ext_proc_client import HEADERS, PROCESS, Companion, companion, whole_body

LLAMA = b'{"model": "llama"}'


@pytest.fixture
def unix_address(tmp_path) -> str:
    return f"unix:{tmp_path}/s"


def body(name: str, size: int) -> bytes:
    return json.dumps({"messages": "x" * size, "model": name}).encode()


@pytest.mark.parametrize(
    "size", [0, 16_384, 65_400, 65_500, 65_536, 131_072, 1_000_000, 15_000_000]
)
async def test_bodies_of_any_length_are_read(unix_address, size):
    async with companion(unix_address) as running:
        assert await running.name_in(body("llama", size)) == "llama"


async def test_long_and_short_bodies_at_the_same_time_on_one_connection(unix_address):
    sizes = [3_000_000 if number % 10 == 0 else 10 * number for number in range(100)]

    async with companion(unix_address) as running:
        names = await asyncio.gather(
            *(running.name_in(body(f"m{number}", size)) for number, size in enumerate(sizes))
        )

    assert names == [f"m{number}" for number in range(100)]


async def test_100_long_bodies_at_once_take_turns_in_little_room(unix_address):
    async with companion(unix_address, max_body_bytes=1_100_000) as running:
        names = await asyncio.gather(
            *(running.name_in(body(f"m{number}", 1_000_000)) for number in range(100))
        )

    assert names == [f"m{number}" for number in range(100)]


async def test_calls_that_are_cancelled_half_way_give_their_room_back(unix_address):
    async with companion(unix_address, max_body_bytes=40_000_000) as running:
        for _ in range(10):
            calls = [await running.after_headers() for _ in range(5)]
            writes = [
                asyncio.ensure_future(call.write(whole_body(bytes(30_000_000)))) for call in calls
            ]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*writes, return_exceptions=True)

        assert await running.name_in(body("llama", 30_000_000)) == "llama"


async def test_messages_that_are_compressed_are_refused_in_clear_words():
    async with (
        companion() as running,
        grpc.aio.insecure_channel(
            running.address, compression=grpc.Compression.Gzip
        ) as compressing,
    ):
        call = Companion(compressing, running.address, asyncio.Event()).call()
        await call.write(whole_body(bytes(1000)))

        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "compressed" in await call.details()
        assert await running.name_in(LLAMA) == "llama"


@pytest.mark.parametrize("path", ["/no.Service/Method", "/grpc.health.v1.Health/Watch", "/ü%"])
async def test_other_methods_are_unimplemented(path):
    async with companion() as running:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.channel.unary_unary(path)(b"")

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path.removesuffix("%") in (refused.value.details() or "")


async def test_bytes_that_are_no_message_are_refused():
    async with companion() as running:
        call = running.channel.stream_stream(PROCESS)()
        await call.write(b"\xff")

        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_metadata_that_differs_with_each_call_is_read():
    async with companion() as running:
        for number in range(50):
            metadata = ((f"x-{number % 7}", "v" * number), ("x-trace-bin", bytes((number,)) * 20))
            call = running.channel.stream_stream(PROCESS, None, ProcessingResponse.FromString)(
                metadata=metadata, timeout=20
            )
            await call.write(HEADERS.SerializeToString())
            await call.read()
            await call.write(whole_body(LLAMA).SerializeToString())
            answer = await call.read()

            assert answer.request_body.response.clear_route_cache
            assert await call.code() is grpc.StatusCode.OK


async def test_a_client_of_another_kind_with_threads_is_served():
    def ask(address: str, names: list[str]) -> None:
        with grpc.insecure_channel(address) as channel:
            for number in range(20):
                messages = iter([HEADERS, whole_body(body(f"t{number}", 100_000))])
                process = channel.stream_stream(
                    PROCESS,
                    lambda message: message.SerializeToString(),
                    ProcessingResponse.FromString,
                )
                _, answer = process(messages, timeout=20)
                [option] = answer.request_body.response.header_mutation.set_headers
                names.append(option.header.raw_value.decode())

    async with companion() as running:
        names: list[str] = []
        thread = threading.Thread(target=ask, args=(running.address, names))
        thread.start()
        await asyncio.to_thread(thread.join)

    assert names == [f"t{number}" for number in range(20)]
