"""`modelyard status` tells what is draining: how much longer at most, and why still."""

from datetime import datetime

import click
import pytest

from xds_server.cli.draining_lines import draining_lines
from xds_server.cli.status_table import status_lines

NOW = datetime.fromisoformat("2025-01-02T12:00:00.000Z")


def wait(node: str, why: str, in_progress: int = 0) -> dict:
    return {"node": node, "why": why, "in_progress": in_progress}


def drain(*waits: dict, **changed) -> dict:
    return {
        "what": "10.0.0.2:8000 of llama-1b",
        "pool": "llama-1b",
        "server": "10.0.0.2:8000",
        "gateway": "*",
        "stage": "draining",
        "since": "2025-01-02T11:59:47.000Z",
        "until": "2025-01-02T12:00:47.000Z",
        "in_progress": 0,
        "waiting": len(waits),
        "waits_for": list(waits),
        **changed,
    }


def plain(*drains: dict) -> list[str]:
    return [click.unstyle(line) for line in draining_lines(list(drains), NOW)]


def test_nothing_is_said_of_nothing():
    assert plain() == []


def test_each_is_told_with_why_and_how_long():
    told = plain(
        drain(wait("envoy-1", "in_progress", 2)),
        drain(what="pool llama-3b", gateway="edge", until="2025-01-02T12:05:01.000Z"),
    )

    assert told == [
        "2 are draining, and not to be switched off yet:",
        "  10.0.0.2:8000 of llama-1b: envoy-1 is at work for 2 requests; gone in 47 s at most",
        "  pool llama-3b (node cluster edge): no Envoy is connected that could tell; "
        "gone in 5 min at most",
    ]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (wait("e", "in_progress", 1), "e is at work for 1 request"),
        (wait("e", "no_reports"), "e sends no load reports here"),
        (wait("e", "disconnected"), "e is disconnected, and may be at work there"),
        (wait("e", "behind"), "e has not taken the edit"),
        (wait("e", "reporting"), "e has yet to say that nothing is in progress"),
        (wait("e\x1b[31m", "not known\nhere"), "e?[31m not known here"),
    ],
)
def test_every_reason_has_words(one, words):
    assert plain(drain(one))[1] == f"  10.0.0.2:8000 of llama-1b: {words}; gone in 47 s at most"


@pytest.mark.parametrize(
    ("waiting", "words"),
    [(3, ", and 2 more Envoys are waited for"), (2, ", and one more Envoy is waited for")],
)
def test_of_several_the_one_is_told_that_one_wants_to_know_most(waiting, words):
    waits = [wait("quiet", "reporting"), wait("busy", "in_progress", 1)]

    assert f"busy is at work for 1 request{words};" in plain(drain(*waits, waiting=waiting))[1]


def test_of_many_the_first_are_told():
    told = plain(*[drain(wait("envoy-1", "behind"))] * 1021)

    assert told[0] == "1,021 are draining, and not to be switched off yet:"
    assert (len(told), told[-1]) == (22, "  and 1,001 more")


def test_it_stands_between_the_summary_and_the_table():
    registry = {"path": "registry.yaml", "loaded_at": "2025-01-02T11:59:47.000Z", "error": None}
    status = {"revision": "9f2c", "registry": registry, "nodes": [], "at": NOW.isoformat()}
    status["draining"] = [drain(wait("envoy-1", "behind"))]

    lines = [click.unstyle(line) for line in status_lines(status)]
    assert lines[1:3] == [
        "no Envoy has connected since the control plane started",
        "1 is draining, and not to be switched off yet:",
    ]
