"""Which filters a request passes, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.http_filters import build_http_filters

GUNZIP, EXT_PROC, NATIVE = names.GUNZIP_FILTER, names.EXT_PROC_FILTER, names.NATIVE_FILTER


@pytest.mark.parametrize(
    ("mode", "on_failure", "naming"),
    [
        ("ext_proc", "native", [EXT_PROC, NATIVE]),
        ("ext_proc", "reject", [EXT_PROC, names.SECOND_EXT_PROC_FILTER]),
        ("native", "native", [NATIVE]),
        ("native", "reject", [NATIVE]),
    ],
)
def test_a_body_is_made_plain_then_read_and_the_request_routed_last(mode, on_failure, naming):
    extraction = ir.Extraction(mode, on_failure, 1024)
    gateway = ir.Gateway("g", "*", "127.0.0.1", 1, True, extraction, (), (), ())
    filters = [f.name for f in build_http_filters(gateway)]

    guarded = replace(gateway, clients=(ir.Client("team-a", "0" * 64),))
    asking = [f.name for f in build_http_filters(guarded)]

    limit = ir.RateLimit(1, 1)
    slow = replace(gateway, clients=(ir.Client("team-a", "0" * 64, rate_limit=limit),))
    route = ir.Route("m", "m", (), 0, 0, (), rate_limit=limit)
    limiting = [f.name for f in build_http_filters(replace(gateway, routes=(route,)))]

    assert [f.name for f in build_http_filters(slow)] == [
        names.KEY_FILTER,
        names.CLIENT_LIMIT_FILTER,
        *filters,
    ]
    assert limiting == [
        *filters[:-2],
        names.HAND_OVER_FILTER,
        names.MODEL_LIMIT_FILTER,
        *filters[-2:],
    ]
    assert asking == [names.KEY_FILTER, *filters]
    assert filters == [GUNZIP, *naming, names.BUFFER_FILTER, names.ROUTER_FILTER]
