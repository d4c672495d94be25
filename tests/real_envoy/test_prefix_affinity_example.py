"""The example that readers run prints what its page promises."""

from __future__ import annotations

import asyncio
import os
import re
import sys

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.envoy

SCRIPT = ROOT / "envoy" / "examples" / "prefix-affinity" / "run.py"
ROW = re.compile(r"^(?P<model>\w+) .* (?P<percent>\d+)% +\d+, \d+, \d+, \d+$", re.MULTILINE)


async def test_affinity_finds_far_more_prompts_cached_than_least_request():
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    async with asyncio.timeout(90):
        out, err = await run.communicate()
    assert run.returncode == 0, err.decode()
    ratios = {row["model"]: int(row["percent"]) for row in ROW.finditer(out.decode())}

    assert ratios["spread"] < 50, out.decode()
    assert ratios["affine"] > ratios["spread"] + 25, out.decode()
