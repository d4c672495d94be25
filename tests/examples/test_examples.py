"""The examples of `envoy/examples` run as their pages say, and show what they claim."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from snapshots.registry.loader import load_registry
from tests.docs.shell import ROOT

pytestmark = pytest.mark.envoy

EXAMPLES = ROOT / "envoy" / "examples"
LIMIT_S = 120
CLIENTS = {
    "operations": ["200", "200", "200", "200"],
    "team-a": ["200", "200", "200", "403"],
    "team-b": ["403", "403", "403", "200"],
    "nobody": ["401", "401", "401", "401"],
}
"""What each meets that asks for `small`, `tiny`, `food-review` and `large`."""


def run(name: str) -> str:
    """Return what the example *name* prints."""
    script = EXAMPLES / name / "run.py"
    ran = subprocess.run(
        [sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def percent(printed: str, line: str) -> list[float]:
    """Return the percentages on the line that begins with *line*."""
    [found] = (text for text in printed.splitlines() if text.startswith(line))
    return [float(figure) for figure in re.findall(r"([\d.]+)%", found)]


@pytest.mark.parametrize("folder", sorted(EXAMPLES.iterdir()), ids=lambda folder: folder.name)
def test_each_has_a_registry_and_a_page_with_the_command(folder):
    registry = folder / "registry.yaml"

    assert load_registry(registry.read_bytes(), str(registry)).models
    assert (
        f".venv/bin/python envoy/examples/{folder.name}/run.py"
        in (folder / "README.md").read_text()
    )


def test_sticky_keeps_users_and_moves_only_those_that_must():
    printed = run("sticky")

    assert percent(printed, "90 to 10") == pytest.approx([90, 10], abs=2.5)
    assert percent(printed, "80 to 20") == pytest.approx([80, 20], abs=2.5)
    assert percent(printed, "users of another pool the second time") == [0]
    assert percent(printed, "users that the edit moved to candidate") == pytest.approx(
        [10], abs=2.5
    )
    assert percent(printed, "users that the edit moved away from it") == [0]


def test_fallback_answers_every_request_whatever_fails():
    rows = {line[:34].strip(): line[34:].split() for line in run("fallback").splitlines()}

    assert rows["all is well"] == ["20", "0", "0", "0", "org/large-70b"]
    assert rows["all at once: large takes 4"] == [
        "4", "16", "0", "0", "org/large-70b,", "org/small-8b"
    ]  # fmt: skip
    assert rows["large answers 429"] == ["0", "20", "0", "0", "org/small-8b"]
    assert rows["small answers 503, too"] == ["0", "0", "20", "0", "assistant"]
    assert rows["large is not healthy"] == ["0", "20", "0", "0", "org/small-8b"]
    assert rows["all is well again"] == rows["all is well"]


def test_prefix_affinity_finds_far_more_prompts_cached_than_least_request():
    printed = run("prefix-affinity")
    [spread], [affine] = percent(printed, "spread"), percent(printed, "affine")

    assert spread < 50
    assert affine > spread + 25


def test_keys_open_to_each_client_what_it_may_use_and_can_be_changed():
    printed = run("keys")
    rows = {line.split("  ")[0]: line for line in printed.splitlines()}
    seen = {client: re.findall(r"\b[2-5]\d\d\b", rows[client]) for client in CLIENTS}

    assert seen == CLIENTS
    assert rows["team-a"].endswith("   food-review, small, tiny")
    assert rows["the new key"].endswith(" 200")
    assert rows["the old key"].endswith(" 401")


def test_priority_sheds_first_what_may_wait_and_keeps_places_for_what_may_not():
    rows = {}
    for line in run("priority").splitlines()[1:]:
        load, model, *figures = line[:10].strip(), line[10:20].strip(), *line[20:].split()
        rows[load, model] = [int(figure) for figure in figures[:4]]
    refused = {key: (shed, overloaded) for key, (_, _, shed, overloaded) in rows.items()}

    assert all(sent == answered + shed + over for sent, answered, shed, over in rows.values())
    assert {refused["quiet", model] for model in ("checkout", "chat", "batch")} == {(0, 0)}
    assert refused["busy", "checkout"] == refused["too much", "checkout"] == (0, 0)
    assert refused["busy", "chat"] == (0, 0)
    assert refused["busy", "batch"][0] > 0
    assert refused["too much", "chat"][1] > 0
    assert refused["too much", "batch"][0] > refused["busy", "batch"][0]
