"""The companion over real gRPC: what Envoy would see of it, up to its end."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import aiohttp
import grpc
import pytest
from envoy.service.ext_proc.v3.external_processor_pb2 import HttpHeaders, ProcessingRequest
from structlog.testing import capture_logs

from tests.support.ext_proc_client import HEADERS_ONLY, companion, whole_body
from xds_server.address import Address
from xds_server.ext_proc.listen import ListenError
from xds_server.ext_proc.server import serve_companion

LLAMA = b'{"model": "llama"}'
SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


@pytest.fixture
def unix_address(tmp_path) -> str:
    return f"unix:{tmp_path}/d/s"


def path_of(address: str) -> Path:
    return Path(address.removeprefix("unix:"))


async def test_the_model_is_found_over_tcp_on_a_port_that_was_chosen():
    async with companion("127.0.0.1:0") as running:
        assert not running.address.endswith(":0")
        assert await running.name_in(LLAMA) == "llama"


async def test_the_model_is_found_over_a_unix_socket_which_goes_away_at_the_end(unix_address):
    async with companion(unix_address) as running:
        assert running.address == unix_address
        assert await running.name_in(json.dumps({"model": "модель/ü"}).encode()) == "модель/ü"

    assert not path_of(unix_address).exists()


async def test_calls_at_the_same_time_keep_their_names_apart(unix_address):
    names = [f"model-{number}" for number in range(200)]

    async with companion(unix_address) as running:
        found = await asyncio.gather(
            *(running.name_in(json.dumps({"model": name}).encode()) for name in names)
        )

    assert found == names


async def test_a_request_without_body_is_refused_at_its_headers():
    async with companion() as running:
        call = running.call()
        await call.write(HEADERS_ONLY)
        answer = await call.read()

        assert answer.immediate_response.status.code == 400
        assert answer.immediate_response.details == "missing_model"
        assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (LLAMA[:-1], (400, "invalid_json")),
        (b'{"model": "\xff"}', (400, "invalid_json")),
        (b'{"a": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", (400, "invalid_json")),
        (b'{"messages": "' + b"x" * 50_000_000 + b'"}', (400, "missing_model")),
        (b'{"messages": "' + b"x" * 50_000_000, (400, "invalid_json")),
        (b'{"model": "' + b"x" * 1_000_000 + b'"}', (404, "model_not_found")),
    ],
    ids=["cut short", "invalid UTF-8", "nested", "50 MB without model", "50 MB cut", "long name"],
)
async def test_a_hostile_body_is_refused_and_the_next_request_served(content, refusal):
    async with companion() as running:
        assert await running.refusal_of(content) == refusal
        assert await running.name_in(LLAMA) == "llama"


async def test_10_000_levels_of_nesting_are_answered_within_a_call():
    body = b'{"model": "llama", "a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"

    async with companion() as running:
        assert await running.answer_to(body)


async def test_a_body_of_50_mb_is_routed(unix_address):
    body = json.dumps({"messages": "x" * 50_000_000, "model": "llama"}).encode()

    async with companion(unix_address) as running:
        assert await running.name_in(body) == "llama"


async def test_a_body_over_the_limit_ends_its_own_call_only():
    limit = 1_000_000
    fitting = LLAMA.ljust(limit)

    async with companion(max_body_bytes=limit) as running:
        assert await running.name_in(fitting) == "llama"
        call = await running.after_headers()
        await call.write(whole_body(fitting + b" " * 100_000))

        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await running.name_in(LLAMA) == "llama"


async def test_a_misconfigured_filter_is_told_what_to_set():
    async with companion() as running:
        call = running.call()
        await call.write(ProcessingRequest(response_headers=HttpHeaders()))

        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "set request_header_mode SEND, request_body_mode BUFFERED" in await call.details()


async def test_a_call_that_is_cancelled_or_ends_early_leaves_no_trace(caplog):
    async with companion() as running:
        cancelled = await running.after_headers()
        cancelled.cancel()
        ended = await running.after_headers()
        await ended.done_writing()

        assert await ended.code() is grpc.StatusCode.OK
        assert await running.name_in(LLAMA) == "llama"

    assert not [record for record in caplog.records if record.levelname in {"ERROR", "WARNING"}]


async def test_a_refusal_is_logged_without_what_the_client_sent():
    with capture_logs() as logged:
        async with companion() as running:
            await running.refusal_of(b'{"model": " secret", "messages": "secret"}')

    [refused] = [entry for entry in logged if entry["event"] == "ext_proc.request.refused"]
    assert refused["code"] == "model_not_found"
    assert refused["body_bytes"] == 42
    assert "secret" not in repr(logged)


async def test_health_is_told_for_the_process_and_for_the_service():
    async with companion() as running:
        assert await running.health_of("") == "SERVING"
        assert await running.health_of(SERVICE) == "SERVING"
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await running.health_of("another.Service")

        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_stop_sends_clients_elsewhere_and_lets_calls_in_flight_finish(unix_address):
    async with companion(unix_address, grace_s=30) as running:
        call = await running.after_headers()
        running.stop.set()
        await running.told_to_leave()
        await call.write(whole_body(LLAMA))
        answer = await call.read()

        assert answer.request_body.response.clear_route_cache
        assert await call.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await running.health_of("")
        assert gone.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stop_cuts_a_call_that_outlasts_the_grace(unix_address):
    async with companion(unix_address, grace_s=0.1) as running:
        call = await running.after_headers()
        running.stop.set()

        assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

    assert not path_of(unix_address).exists()


async def test_cancelling_the_task_stops_it_in_order(unix_address):
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    task = asyncio.ensure_future(serve_companion(unix_address, ready.set_result))
    async with asyncio.timeout(20):
        await ready
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    assert not path_of(unix_address).exists()


async def test_a_socket_left_by_a_dead_process_is_replaced(unix_address):
    path = path_of(unix_address)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async with companion(unix_address) as running:
        assert await running.name_in(LLAMA) == "llama"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_second_companion_is_refused_and_the_first_undisturbed(kind, unix_address):
    async with companion(unix_address if kind == "unix" else "127.0.0.1:0") as first:
        with pytest.raises(ListenError, match=f"^cannot listen on {first.address}: "):
            await serve_companion(first.address, print)

        assert await first.name_in(LLAMA) == "llama"


async def test_metrics_count_what_was_answered():
    with capture_logs() as logged:
        async with companion(metrics_address=Address("127.0.0.1", 0)) as running:
            await running.name_in(LLAMA)
            await running.refusal_of(b"{}")
            [ready] = [entry for entry in logged if entry["event"] == "ext_proc.metrics.ready"]
            url = f"http://{ready['address']}"
            async with aiohttp.ClientSession() as http:
                async with http.get(f"{url}/metrics") as answer:
                    text = await answer.text()
                    content_type = answer.headers["content-type"]
                async with http.get(f"{url}/healthz") as answer:
                    health = answer.status

    assert 'modelyard_ext_proc_requests_total{worker="0"} 2.0' in text
    assert 'modelyard_ext_proc_refusals_total{code="missing_model"} 1.0' in text
    assert content_type.startswith("text/plain")
    assert health == 200
