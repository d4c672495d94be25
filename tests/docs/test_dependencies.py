"""What we depend on is pinned, and has a reason."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = sorted(
    re.match(r"[\w-]+", requirement)[0]
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in group
)
PINS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]
REASONS = (ROOT / "docs/adr/0010-dependencies.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_dependency_is_pinned_and_has_a_reason(name):
    assert [pin for pin in PINS if pin.lower().replace("_", "-").startswith(f"{name}==")]
    assert f"`{name}`" in REASONS


@pytest.mark.parametrize("pin", PINS)
def test_a_pin_is_a_name_and_a_version_only(pin):
    assert re.fullmatch(r"[\w.-]+==[\w.]+", pin)
