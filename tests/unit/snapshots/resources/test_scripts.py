"""The scripts that Envoy runs: what they are put together from."""

from __future__ import annotations

import json

import pytest
from lupa import luajit21

from snapshots.ir.refusals import REFUSALS, error_object
from snapshots.resources.scripts import extraction_script, rewrite_script

SCRIPTS = {"extraction": extraction_script(), "rewrite": rewrite_script()}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_defines_what_envoy_calls_and_no_other_global(script):
    lua = luajit21.LuaRuntime()
    before = set(lua.globals())
    lua.execute(script)

    assert set(lua.globals()) - before == {"envoy_on_request"}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_comments_and_indentation_are_left_out(script):
    for line in script.splitlines():
        assert line
        assert line == line.strip()
        assert not line.startswith("--")


def test_the_script_that_each_renaming_cluster_holds_is_small():
    assert len(rewrite_script()) < 13_000


@pytest.mark.parametrize("code", REFUSALS)
def test_each_refusal_reads_as_in_the_table(code):
    lua = luajit21.LuaRuntime()
    refusal = lua.execute(extraction_script() + f"\nreturn REFUSALS.{code}")
    status, before, behind = refusal.values()

    assert int(status) == REFUSALS[code].status
    assert json.loads(f"{before}why{behind}") == error_object(code, "why")
