"""Damaged bodies through a real Envoy in both modes; `make fuzz` sends many more."""

from __future__ import annotations

import pytest

from tests.fuzz.gateway import run

pytestmark = pytest.mark.envoy

COUNT = 400
SEED = 21


async def test_damaged_bodies_are_answered_alike_in_both_modes(tmp_path):
    answers = await run(COUNT, SEED, tmp_path)

    assert sum(answers.values()) == COUNT
    assert {"a model", "invalid_json", "invalid_multipart", "missing_model"} <= set(answers)
