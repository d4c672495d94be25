from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Gauge

from xds_server.node_status import NodeStatus, PastRejection, Rejection, TypeStatus, written
from xds_server.status.views import RegistryView, status_view
from xds_server.status.web import status_app

REFUSAL = Rejection(
    type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
    resource="llama-1b",
    error_detail='<script>alert("no")</script>',
    registry_place="registry.yaml:3:3 (pools.llama-1b)",
)


def node(name: str, rejected: Rejection | None = None) -> NodeStatus:
    return NodeStatus(
        id=name,
        cluster="default",
        connected=True,
        variant="delta",
        envoy_version="1.40.0",
        revision="9f2c",
        converged=rejected is None,
        rejected=rejected,
        gateway="edge",
        connected_at="2025-01-02T03:00:00.000Z",
        types=(TypeStatus("cds", "1a", "1a", converged=True),),
        last_rejected=PastRejection("type", "pool/a", "no", "", "2025-01-02T02:00:00.000Z"),
    )


def view(*nodes: NodeStatus, error: str | None = None):
    at = datetime(2025, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    return status_view("9f2c", RegistryView("registry.yaml", written(at), error), nodes, at)


@asynccontextmanager
async def serving(status=view, *, ready=True):
    metrics = CollectorRegistry()
    Gauge("modelyard_example", "For this test.", registry=metrics).set(7)
    app = status_app(status, lambda: ready, metrics)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_status_is_the_json_that_others_rely_on():
    async with serving(lambda: view(node("envoy-1"), error="registry.yaml:1:1: no")) as client:
        answer = await client.get("/status")

        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert await answer.json() == {
            "revision": "9f2c",
            "registry": {
                "path": "registry.yaml",
                "loaded_at": "2025-01-02T03:04:05.678Z",
                "error": "registry.yaml:1:1: no",
            },
            "nodes": [
                {
                    "id": "envoy-1",
                    "cluster": "default",
                    "connected": True,
                    "variant": "delta",
                    "envoy_version": "1.40.0",
                    "revision": "9f2c",
                    "converged": True,
                    "rejected": None,
                    "gateway": "edge",
                    "connected_at": "2025-01-02T03:00:00.000Z",
                    "disconnected_at": None,
                    "types": [{"type": "cds", "sent": "1a", "acked": "1a", "converged": True}],
                    "last_rejected": {
                        "type_url": "type",
                        "resource": "pool/a",
                        "error_detail": "no",
                        "registry_place": "",
                        "at": "2025-01-02T02:00:00.000Z",
                    },
                    "kept_from": None,
                }
            ],
            "at": "2025-01-02T03:04:05.678Z",
            "draining": [],
        }


async def test_a_refusal_is_told_with_all_that_is_known_of_it():
    async with serving(lambda: view(node("envoy-1", REFUSAL))) as client:
        answer = await (await client.get("/status")).json()

    assert answer["nodes"][0]["rejected"] == {
        "type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "resource": "llama-1b",
        "error_detail": '<script>alert("no")</script>',
        "registry_place": "registry.yaml:3:3 (pools.llama-1b)",
    }


async def test_nodes_are_told_in_the_order_of_their_ids():
    async with serving(lambda: view(node("b"), node("c"), node("a"))) as client:
        answer = await (await client.get("/status")).json()

    assert [each["id"] for each in answer["nodes"]] == ["a", "b", "c"]


@pytest.mark.parametrize(("ready", "code"), [(True, 200), (False, 503)])
async def test_readyz_tells_whether_envoys_are_served(ready, code):
    async with serving(ready=ready) as client:
        assert (await client.get("/readyz")).status == code


async def test_healthz_is_well_even_if_not_ready():
    async with serving(ready=False) as client:
        assert (await client.get("/healthz")).status == 200


async def test_metrics_are_prometheus_text():
    async with serving() as client:
        answer = await client.get("/metrics")

        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "\nmodelyard_example 7.0\n" in await answer.text()


async def test_an_unknown_path_is_404_in_json_and_tells_what_there_is():
    async with serving() as client:
        answer = await client.get("/stats")

        assert answer.status == 404
        assert await answer.json() == {
            "error": "nothing is at /stats; "
            "there are /, /status, /wait, /registry, /client, /healthz, /readyz, /metrics"
        }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed_over_http(method):
    async with serving() as client:
        answer = await client.request(method, "/status")

        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"
        assert await answer.json() == {"error": f"{method} is not allowed; use GET"}


@pytest.mark.parametrize("path", ["/", "/status", "/healthz", "/readyz", "/metrics", "/nowhere"])
async def test_no_answer_is_stored_or_guessed_at(path):
    async with serving() as client:
        answer = await client.get(path)

        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_is_self_contained_and_may_run_nothing_else():
    async with serving() as client:
        answer = await client.get("/")
        page = await answer.text()

        assert answer.content_type == "text/html"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "http://" not in page
        assert "https://" not in page
        assert "innerHTML" not in page
