"""Which filters a request passes, and in which order."""

from __future__ import annotations

import pytest

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.http_filters import build_http_filters

EXT_PROC, TRANSFORM, ROUTER = names.EXT_PROC_FILTER, names.TRANSFORM_FILTER, names.ROUTER_FILTER


@pytest.mark.parametrize(
    ("mode", "on_failure", "naming"),
    [
        ("ext_proc", "native", [EXT_PROC, TRANSFORM]),
        ("ext_proc", "reject", [EXT_PROC]),
        ("native", "native", [TRANSFORM]),
        ("native", "reject", [TRANSFORM]),
    ],
)
def test_the_model_is_named_first_and_routed_by_last(mode, on_failure, naming):
    filters = [f.name for f in build_http_filters(ir.Extraction(mode, on_failure, 1024))]

    assert filters[: len(naming)] == naming
    assert filters[-1] == ROUTER
    assert not {EXT_PROC, TRANSFORM} & set(filters[len(naming) :])
