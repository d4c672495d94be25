import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.support.certificates import Authority
from xds_server.files.look import ReadProblem
from xds_server.reload.metrics import ReloadMetrics
from xds_server.reload.publisher import RefusedError, RegistryPublisher
from xds_server.store import SnapshotStore

REGISTRY = b"""\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
  green: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {pool: blue}
"""
EDITED = REGISTRY.replace(b"pool: blue", b"pool: green")
BROKEN = REGISTRY.replace(b"pool: blue", b"pool: bleu")


@pytest.fixture
def store() -> SnapshotStore:
    return SnapshotStore()


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def publisher(store, metrics) -> RegistryPublisher:
    return RegistryPublisher(Path("registry.yaml"), store, ReloadMetrics(metrics))


async def test_what_is_refused_at_the_start_raises_with_the_reasons(publisher, store):
    with pytest.raises(RefusedError, match=r"^registry\.yaml:6:11: models\.small\.pool: "):
        await publisher.load(BROKEN)

    assert store.current is None


async def test_what_cannot_be_read_at_the_start_raises_with_the_reason(publisher):
    with pytest.raises(RefusedError, match=r"^gone$"):
        await publisher.load(ReadProblem("gone"))


async def test_a_refused_offer_is_logged_once_with_what_is_served_instead(publisher, store):
    await publisher.load(REGISTRY)

    with capture_logs() as logs:
        await publisher.offer(BROKEN)

    assert [line["event"] for line in logs] == ["registry.refused"]
    assert logs[0]["error_message"] == publisher.error
    assert logs[0]["serving_revision"] == store.current.snapshot.revision


async def test_a_good_offer_is_logged_with_its_revision(publisher, store):
    await publisher.load(REGISTRY)

    with capture_logs() as logs:
        await publisher.offer(EDITED)

    revision = store.current.snapshot.revision
    assert [line["event"] for line in logs] == [
        "registry.loaded",
        "snapshot.published",
        "drain.started",
    ]
    assert [line["revision"] for line in logs[:2]] == [revision, revision]
    assert logs[1]["serial"] == 2
    assert logs[1]["added"] == ["Cluster pool/green", "ClusterLoadAssignment pool/green"]
    assert logs[1]["changed"] == ["RouteConfiguration model/small"]
    assert logs[1]["removed"] == ["Cluster pool/blue", "ClusterLoadAssignment pool/blue"]


async def test_a_log_line_stays_short_however_much_is_published(publisher):
    many = b"".join(b"  m%d: {pool: blue}\n" % number for number in range(20))
    await publisher.load(REGISTRY)

    with capture_logs() as logs:
        await publisher.offer(REGISTRY + many)

    assert len(logs[1]["added"]) == 11
    assert logs[1]["added"][10] == "and 30 more"


async def test_a_defect_while_building_refuses_the_edit_and_keeps_serving(
    publisher, store, monkeypatch
):
    await publisher.load(REGISTRY)
    monkeypatch.setattr("xds_server.reload.building.load_registry", lambda *_: 1 / 0)

    with capture_logs() as logs:
        await publisher.offer(EDITED)

    assert "ZeroDivisionError: division by zero" in publisher.error
    assert [line["event"] for line in logs] == ["registry.build.failed", "registry.refused"]
    assert store.current.serial == 1


async def test_the_event_loop_runs_on_while_a_registry_is_built(publisher):
    many = b"".join(b"  m%d: {pool: blue}\n" % number for number in range(300))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not publisher.served:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        tasks.create_task(count())
        await publisher.load(REGISTRY + many)

    assert turns > 10


async def test_an_origin_is_told_as_a_place_in_the_content_that_is_served(publisher):
    await publisher.load(REGISTRY)
    assert publisher.describe_origin(("pools", "green")) == "registry.yaml:4:3 (pools.green)"

    await publisher.load(b"# moves everything down\n" + REGISTRY)
    assert publisher.describe_origin(("pools", "green")) == "registry.yaml:5:3 (pools.green)"


async def test_an_origin_that_the_file_no_longer_holds_is_told_where_it_was(publisher):
    await publisher.load(REGISTRY)

    assert publisher.describe_origin(("pools", "gone")) == "registry.yaml:2:1 (pools.gone)"


async def test_a_resource_without_an_entry_has_no_place(publisher):
    await publisher.load(REGISTRY)

    assert publisher.describe_origin(()) == ""


async def test_a_certificate_is_renewed_although_the_newest_registry_is_refused(
    tmp_path, store, metrics
):
    authority = Authority()
    authority.write(tmp_path, "a", "a.test")
    good = b"version: 1\ngateways: {default: {tls: {certificate: a.pem, key: a.key}}}\n"
    publisher = RegistryPublisher(tmp_path / "registry.yaml", store, ReloadMetrics(metrics))
    await publisher.load(good)
    await publisher.offer(good + b"colour: blue\n")
    before = store.current.snapshot.revision

    authority.write(tmp_path, "a", "a.test")
    await publisher.refresh()

    assert store.current.snapshot.revision != before
    assert "colour: unknown field" in publisher.error
    assert set(publisher.files()) == {tmp_path / "a.pem", tmp_path / "a.key"}


async def test_an_edit_is_not_refused_for_a_certificate_that_expired_while_it_was_served(
    tmp_path, store, metrics, monkeypatch
):
    Authority().write(tmp_path, "a", "a.test")
    good = b"version: 1\ngateways: {default: {tls: {certificate: a.pem, key: a.key}}}\n"
    publisher = RegistryPublisher(tmp_path / "registry.yaml", store, ReloadMetrics(metrics))
    await publisher.load(good)
    later = datetime.now(UTC) + timedelta(days=9)
    monkeypatch.setattr("xds_server.secrets.material.now_utc", lambda: later)

    await publisher.offer(good + b"pools: {a: {endpoints: []}}\n")

    assert publisher.error is None


async def test_a_secret_that_cannot_be_served_is_said_once_and_withholds_nothing(
    tmp_path, store, metrics
):
    (tmp_path / "one").write_text("first")
    text = b"version: 1\npools: {a: {endpoints: []}}\nauth: {upstream: {a: {value_file: one}}}\n"
    publisher = RegistryPublisher(tmp_path / "registry.yaml", store, ReloadMetrics(metrics))
    await publisher.load(text)
    (tmp_path / "one").write_text("")

    with capture_logs() as logs:
        await publisher.refresh()
        await publisher.offer(text + b"gateways: {default: {response_headers: false}}\n")
    told, gauge = publisher.error, metrics.get_sample_value("modelyard_registry_error")
    (tmp_path / "one").write_text("second")
    await publisher.refresh()

    assert [line["event"] for line in logs].count("secrets.kept") == 1
    assert "auth.upstream.a.value_file: the file one: is empty" in told
    assert publisher.served.text.endswith(b"false}}\n")
    assert (gauge, metrics.get_sample_value("modelyard_registry_error")) == (1, 0)
    assert publisher.error is None


async def test_all_is_read_when_what_the_files_hold_now_is_served_or_refused(store, tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_bytes(REGISTRY)
    publisher = RegistryPublisher(path, store, ReloadMetrics(CollectorRegistry()))
    assert not await publisher.has_read_all()
    await publisher.load(REGISTRY)
    assert await publisher.has_read_all()

    path.write_bytes(BROKEN)
    assert not await publisher.has_read_all()
    await publisher.offer(BROKEN)
    assert await publisher.has_read_all()

    path.unlink()
    assert not await publisher.has_read_all()


async def test_a_content_that_is_being_built_is_not_read_yet(store, tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_bytes(REGISTRY)
    publisher = RegistryPublisher(path, store, ReloadMetrics(CollectorRegistry()))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.load(REGISTRY))
        await asyncio.sleep(0)
        meanwhile = await publisher.has_read_all()
        told = publisher.served is not None

    assert meanwhile == told
    assert await publisher.has_read_all()


async def test_a_secret_that_has_changed_is_not_read_yet(store, tmp_path):
    material = tmp_path / "secret"
    material.write_text("sk-one-0123456789")
    path = tmp_path / "registry.yaml"
    text = REGISTRY + b"auth: {clients: {team: {key_file: secret}}}\n"
    path.write_bytes(text)
    publisher = RegistryPublisher(path, store, ReloadMetrics(CollectorRegistry()))
    await publisher.load(text)
    assert await publisher.has_read_all()

    material.write_text("sk-another-0123456789")
    assert not await publisher.has_read_all()
    await publisher.refresh()
    assert await publisher.has_read_all()
