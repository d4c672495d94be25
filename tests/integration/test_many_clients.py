"""Many clients at once on the real command: all are told, and none is told what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.ads_crowd import CrowdMember, crowd
from tests.support.serve_process import serving

CLIENTS = 100
AT_ONCE = 1500
"""More than the streams that gRPC lets wait by itself."""
MODELS = 120
"""More routes than travel one by one."""
TIMEOUT_S = 60.0


def text(first_weight: int) -> str:
    pools = "".join(f"  p{n}: {{endpoints: ['10.0.0.1:{n + 1}']}}\n" for n in range(MODELS))
    models = "".join(
        f"  m{n}: {{split: {{p{n}: {first_weight if n == 0 else 1}, p0: 1}}}}\n"
        for n in range(1, MODELS)
    )
    first = f"  m0: {{split: {{p0: {first_weight}, p1: 1}}}}\n"
    return f"version: 1\npools:\n{pools}models:\n{first}{models}"


@contextmanager
def closing(members: Sequence[CrowdMember]) -> Iterator[None]:
    try:
        yield
    finally:
        for member in members:
            member.close()


async def until(holds) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not holds():  # noqa: ASYNC110 - many clients are waited for
            await asyncio.sleep(0.01)


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(text(1))
    return path


async def test_all_get_everything_and_of_an_edit_only_what_changed(registry):
    async with serving(registry) as served:
        members = await crowd(served.xds_address, CLIENTS)
        with closing(members):
            await until(lambda: all(member.has_all.is_set() for member in members))
            held = members[0].versions
            assert all(member.versions == held for member in members)
            assert not any(member.lost for member in members)
            assert {f"pool/p{n}" for n in range(MODELS)} == held[ENDPOINT].keys()
            assert held[CLUSTER].keys() > held[ENDPOINT].keys()
            assert {f"model/m{n}" for n in range(MODELS)} < held[ROUTE].keys()

            for member in members:
                member.tally.responses = member.tally.resources = 0
            registry.write_text(text(2))
            await until(lambda: all(member.tally.responses for member in members))
            assert {(m.tally.responses, m.tally.resources) for m in members} == {(1, 1)}


async def test_a_whole_fleet_that_comes_at_once_is_served(registry):
    async with serving(registry) as served, asyncio.TaskGroup() as beside:
        log = beside.create_task(served.process.stderr.read())
        members = await crowd(served.xds_address, AT_ONCE)
        with closing(members):
            await until(lambda: all(m.has_all.is_set() or m.lost for m in members))
            assert not [member.lost for member in members if member.lost]
        log.cancel()


async def test_who_comes_back_to_a_new_process_is_sent_nothing(registry):
    async with serving(registry) as served:
        members = await crowd(served.xds_address, CLIENTS)
        with closing(members):
            await until(lambda: all(member.has_all.is_set() for member in members))
    held = [member.versions for member in members]

    async with serving(registry) as served:
        again = await crowd(served.xds_address, CLIENTS, held)
        with closing(again):
            registry.write_text(text(2))  # sent last, when all that was due before has been
            await until(lambda: all(member.tally.responses for member in again))

    assert {(m.tally.responses, m.tally.resources) for m in again} == {(1, 1)}


async def test_half_of_them_cut_off_hold_up_nobody_and_have_the_newest_once_they_are_back(registry):
    async with serving(registry) as served:
        members = await crowd(served.xds_address, 20)
        with closing(members):
            await until(lambda: all(member.has_all.is_set() for member in members))
            cut_off, others = members[::2], members[1::2]
            for member in cut_off:
                member.partition()
            for weight in (2, 3, 4):
                before = others[0].versions[ROUTE]["model/m0"]
                registry.write_text(text(weight))
                await until(
                    lambda b=before: all(m.versions[ROUTE]["model/m0"] != b for m in others)
                )
            newest = others[0].versions
            assert all(member.versions != newest for member in cut_off)
            for member in cut_off:
                member.heal()
            await until(lambda: all(member.versions == newest for member in cut_off))

            assert not any(member.lost for member in members)
