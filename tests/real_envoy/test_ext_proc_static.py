"""The companion behind the real Envoy, on a static configuration with one scope per model."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.ext_proc_client import Companion, companion
from tests.support.model_server import model_servers
from tests.support.static_envoy import StaticEnvoy, first_line, static_envoy

pytestmark = pytest.mark.envoy

HEADER = "x-gateway-model-name"
# Each name has a scope of its own that leads to the server of its value.
SERVERS = {
    "a": "first",
    "b": "second",
    "модель/ü": "second",
    "模型 😀": "first",
    "meta-llama/Llama-3.2-1B": "second",
    "registry:5000/a b": "second",
}
TYPES = "type.googleapis.com/envoy.extensions"
MAX_BODY_BYTES = 8 * 1024 * 1024


def static_config(companion_path: str, ports: Mapping[str, int], log: Path) -> dict[str, Any]:
    """Return a gateway: the model header is the gateway's own, ext_proc sets it, scopes use it."""
    listener = {
        "name": "gateway",
        "address": socket_address(0),
        "per_connection_buffer_limit_bytes": 32768,
        "filter_chains": [
            {"filters": [{"name": "hcm", "typed_config": connection_manager(log)}]},
        ],
    }
    clusters = [cluster(name, socket_address(port)) for name, port in ports.items()]
    clusters.append(
        cluster("companion", {"pipe": {"path": companion_path}})
        | {
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            }
        }
    )
    clusters.append({"name": "none", "load_assignment": {"cluster_name": "none"}})
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def connection_manager(log: Path) -> dict[str, Any]:
    fragment = {"header_value_extractor": {"name": HEADER, "index": 0}}
    scopes = [scope("-", "none"), *(scope(name, server) for name, server in SERVERS.items())]
    details = {"text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS%\n"}}
    return {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [
            typed("access_loggers.file.v3.FileAccessLog", path=str(log), log_format=details)
        ],
        "early_header_mutation_extensions": [header_of_the_gateway_alone()],
        "http_filters": [ext_proc_filter(), typed("filters.http.router.v3.Router")],
        "scoped_routes": {
            "name": "models",
            "scope_key_builder": {"fragments": [fragment]},
            "scoped_route_configurations_list": {"scoped_route_configurations": scopes},
        },
    }


def header_of_the_gateway_alone() -> dict[str, Any]:
    set_header = {
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "header": {"key": HEADER, "value": "-"},
    }
    return typed(
        "http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"append": set_header}],
    )


def ext_proc_filter() -> dict[str, Any]:
    return typed(
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "companion"}},
        message_timeout="5s",
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "response_header_mode": "SKIP",
        },
    )


def typed(name: str, **fields: Any) -> dict[str, Any]:
    """Return the extension whose configuration has the type *name*."""
    return {"name": name, "typed_config": {"@type": f"{TYPES}.{name}", **fields}}


def scope(name: str, cluster_name: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name, "timeout": "60s"}}
    host = {
        "name": "any",
        "domains": ["*"],
        "request_body_buffer_limit": MAX_BODY_BYTES,
        "routes": [route],
    }
    return {
        "name": f"scope/{name}",
        "key": {"fragments": [{"string_key": name}]},
        "route_configuration": {"name": f"model/{name}", "virtual_hosts": [host]},
    }


def cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def socket_address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A client of the running Envoy, and what stands behind it."""

    session: aiohttp.ClientSession
    envoy: StaticEnvoy
    companion: Companion
    access_log: Path
    server_url: str

    async def post(self, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        """Post *body* as a chat completion; return the status and the JSON of the answer."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        url = f"{self.envoy.url}/v1/chat/completions"
        async with self.session.post(url, data=data, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def gateway(tmp_path):
    @asynccontextmanager
    async def start() -> AsyncIterator[Gateway]:
        socket_path = str(tmp_path / "s")
        access_log = tmp_path / "access.log"
        async with (
            model_servers("first", "second") as servers,
            companion(f"unix:{socket_path}") as running,
        ):
            ports = {name: int(server.url.rpartition(":")[2]) for name, server in servers.items()}
            config = static_config(socket_path, ports, access_log)
            async with static_envoy(config, tmp_path) as envoy, aiohttp.ClientSession() as session:
                yield Gateway(session, envoy, running, access_log, servers["first"].url)

    return start


def chat(model: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


async def test_each_name_routes_to_its_own_scope_and_the_body_is_untouched(gateway):
    async with gateway() as running:
        for name, server in SERVERS.items():
            for ascii_only in (True, False):
                body = json.dumps(chat(name), ensure_ascii=ascii_only).encode()
                status, answer = await running.post(body)

                assert (status, answer["simulate"]["server"]) == (200, server), (name, answer)
                assert answer["simulate"]["headers"][HEADER] == name
                assert answer["simulate"]["body_sha256"] == hashlib.sha256(body).hexdigest()
        counted = await running.envoy.stats(r"http\.in\.ext_proc")
        calls = await running.envoy.stats(r"cluster\.companion\.upstream_(rq|cx)_")

    requests = 2 * len(SERVERS)
    assert counted["http.in.ext_proc.streams_started"] == requests
    assert counted["http.in.ext_proc.streams_closed"] == requests
    assert counted["http.in.ext_proc.streams_failed"] == 0
    assert counted["http.in.ext_proc.message_timeouts"] == 0
    assert calls["cluster.companion.upstream_rq_active"] == 0
    assert calls["cluster.companion.upstream_rq_completed"] == requests
    assert calls["cluster.companion.upstream_cx_total"] == 1
    assert calls["cluster.companion.upstream_cx_protocol_error"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"", 400, "missing_model", "model"),
        (b"{}", 400, "missing_model", "model"),
        (b'{"model": 1}', 400, "missing_model", "model"),
        (b'{"model": "a", "model": "b"}', 400, "ambiguous_model", "model"),
        (b'{"model": "-"}', 404, "model_not_found", "model"),
        (b'{"model": "a\\r\\nx: y"}', 404, "model_not_found", "model"),
        (b'{"model": "\\ud800"}', 404, "model_not_found", "model"),
    ],
)
async def test_a_request_without_a_usable_name_gets_the_error_of_the_table(
    gateway, body, status, code, param
):
    async with gateway() as running:
        url = f"{running.envoy.url}/v1/chat/completions"
        # A client that sends the header itself must not thereby choose a route.
        async with running.session.post(url, data=body, headers={HEADER: "a"}) as answer:
            error = (await answer.json())["error"]

        assert answer.status == status
        assert answer.content_type == "application/json"
        assert (error["code"], error["param"]) == (code, param)
        assert error["type"] == "invalid_request_error"
        assert await first_line(running.access_log) == code


async def test_a_get_is_refused_for_it_has_no_body(gateway):
    async with gateway() as running, running.session.get(running.envoy.url) as answer:
        error = (await answer.json())["error"]

    assert (answer.status, error["code"]) == (400, "missing_model")
    assert "it has no body" in error["message"]


async def test_a_model_header_of_the_client_is_not_obeyed(gateway):
    async with gateway() as running:
        _, answer = await running.post(chat("b"), **{HEADER: "a"})
        async with running.session.post(
            running.envoy.url, json=chat("unknown"), headers={HEADER: "a"}
        ) as unknown:
            status = unknown.status

    assert answer["simulate"]["server"] == "second"
    assert answer["simulate"]["headers"][HEADER] == "b"
    assert status == 404


async def test_long_and_chunked_bodies_are_routed_and_longer_ones_refused(gateway):
    async def chunks(count: int) -> AsyncIterator[bytes]:
        yield b'{"messages": [{"role": "user", "content": "'
        for _ in range(count):
            yield b"x" * 100_000
        yield b'"}], "model": "b"}'

    async with gateway() as running:
        status, answer = await running.post(chunks(70))
        too_long = io.BytesIO(b"x" * (MAX_BODY_BYTES + 1))
        async with running.session.post(running.envoy.url, data=too_long) as refused:
            pass

    assert (status, answer["simulate"]["server"]) == (200, "second")
    assert answer["simulate"]["body_bytes"] > 7_000_000
    assert refused.status == 413


async def test_a_response_that_streams_does_not_need_the_companion_any_more(gateway):
    """The call ends once the model is known: no stream of tokens holds it, nor a stop back."""
    async with gateway() as running:
        settings = {"tokens": 30, "token_latency_s": 0.02}
        async with running.session.post(f"{running.server_url}/simulate/settings", json=settings):
            pass
        url = f"{running.envoy.url}/v1/chat/completions"
        async with running.session.post(url, json=chat("a") | {"stream": True}) as answer:
            await answer.content.readline()
            running.companion.stop.set()
            counted = await running.envoy.stats(r"http\.in\.(ext_proc|downstream_rq_active)")
            rest = await answer.content.read()

    assert counted["http.in.downstream_rq_active"] == 1
    assert counted["http.in.ext_proc.streams_closed"] == 1
    assert answer.status == 200
    assert rest.rstrip().endswith(b"data: [DONE]")
