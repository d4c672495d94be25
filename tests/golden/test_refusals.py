"""Each refused registry of `cases/*-refused/` gives exactly the text of its `error.txt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshots.registry.loader import RegistryError, load_registry

CASES = Path(__file__).parent / "cases"
REFUSED = sorted({path.parent for path in CASES.glob("*/error.txt")} | {*CASES.glob("*-refused")})


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_bad_registry_is_refused_in_these_words(case, expect_golden):
    with pytest.raises(RegistryError) as refused:
        load_registry((case / "registry.yaml").read_bytes(), "registry.yaml")

    expect_golden(case / "error.txt", f"{refused.value}\n")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_refused_case_holds_its_registry_and_its_error_only(case):
    assert {path.name for path in case.iterdir()} == {"registry.yaml", "error.txt"}
    assert case.name.endswith("-refused")
