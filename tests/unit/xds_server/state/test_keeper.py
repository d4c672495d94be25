"""What could not be stored is stored as soon as it can be."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.support.state import kept
from xds_server.state import keeper
from xds_server.state.directory import SNAPSHOT, StateDirectory
from xds_server.state.history import FOLDER, Damaged
from xds_server.state.keeper import StateKeeper
from xds_server.state.metrics import StateMetrics
from xds_server.state.writing import Writing

TEXT = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
models:
  small: {pool: blue, timeout: 1s}
"""
WRITES = "modelyard_state_writes_total"


@pytest.fixture
def metrics():
    return CollectorRegistry()


@pytest.fixture
def directory(tmp_path):
    directory = StateDirectory(tmp_path / "state")
    with directory.held():
        yield directory


@pytest.fixture
def state_keeper(directory, metrics, monkeypatch):
    monkeypatch.setattr(keeper, "RETRY_S", 0.02)
    return StateKeeper(directory, 5, Writing(directory.path, StateMetrics(metrics)))


def edited(tmp_path, number):
    text = TEXT.replace("1s", f"{number}s").encode()
    return kept(tmp_path / "registry.yaml", text)


async def counted(metrics, result, count):
    async with asyncio.timeout(10):
        while metrics.get_sample_value(WRITES, {"result": result}) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_could_not_be_stored_is_tried_again_without_an_edit(
    tmp_path, directory, metrics, state_keeper
):
    in_the_way = directory.path / FOLDER
    in_the_way.write_text("a file where a directory must be")
    with capture_logs() as logs:
        async with state_keeper.running():
            state_keeper.keep(edited(tmp_path, 1))
            await counted(metrics, "failed", 1)
            state_keeper.keep(edited(tmp_path, 2))
            await counted(metrics, "failed", 3)
            in_the_way.unlink()
            await counted(metrics, "written", 1)

    assert [line["event"] for line in logs] == ["state.write.failed", "state.write.recovered"]
    assert (directory.path / SNAPSHOT).exists()
    entries = directory.history.entries()
    assert not any(isinstance(entry, Damaged) for entry in entries)
    assert [directory.history.text_of(entry, b"", {}) for entry in entries] == [
        edited(tmp_path, number).text for number in (1, 2)
    ]


async def test_what_is_stored_is_not_stored_again(tmp_path, metrics, state_keeper):
    async with state_keeper.running():
        state_keeper.keep(edited(tmp_path, 1))
        await counted(metrics, "written", 1)
        state_keeper.keep(edited(tmp_path, 2))
        await counted(metrics, "written", 2)

    assert metrics.get_sample_value(WRITES, {"result": "written"}) == 2
