"""What the companion is told beside each request, and does about it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from snapshots.ir import model as ir
from snapshots.resources.companion import build_companion_filters
from tests.support.registries import EXACT_NAMES
from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import model_name
from xds_server.ext_proc.orders import NO_ORDERS, Orders, read_orders

EXTRACTION = ir.Extraction("ext_proc", "native", 1024)


def told(gateway: ir.Gateway) -> dict[bytes, bytes]:
    """Return the metadata that Envoy sends for *gateway*."""
    [ext_proc] = build_companion_filters(gateway)
    service = ext_proc.typed_config.unpack().grpc_service
    return {
        # Envoy formats the value: a doubled % is one.
        entry.key.encode(): entry.value.replace("%%", "%").encode("ascii")
        for entry in service.initial_metadata
    }


@given(EXACT_NAMES)
def test_any_name_arrives_as_the_default(name):
    gateway = ir.Gateway("g", "*", "127.0.0.1", 1, True, EXTRACTION, (), (), (), default_model=name)

    assert read_orders(told(gateway)) == Orders(default_model=name)


def test_how_much_of_a_prompt_is_hashed_arrives():
    check = ir.HealthCheck("/", 1.0, 1.0)
    pool = ir.Pool("p", (), False, check, "maglev", False, prefix_bytes=512)
    gateway = ir.Gateway("g", "*", "127.0.0.1", 1, True, EXTRACTION, (), (), (pool,))

    assert read_orders(told(gateway)) == Orders(prefix_bytes=512)
    assert read_orders({b"modelyard-prompt-prefix-bytes": b"-7"}) == Orders()


def test_a_gateway_that_wants_nothing_says_nothing():
    gateway = ir.Gateway("g", "*", "127.0.0.1", 1, True, EXTRACTION, (), (), ())

    assert told(gateway) == {}
    assert read_orders({b":path": b"/x"}) is NO_ORDERS


@pytest.mark.parametrize("body", [{}, {"Model": "x"}, {"a": {"model": "x"}}])
def test_only_a_body_without_a_model_gets_the_default(body):
    text = json.dumps(body).encode()

    assert model_name(text, default="d") == "d"
    with pytest.raises(ModelNameError, match="missing_model"):
        model_name(text)


@pytest.mark.parametrize("value", [None, "", " ", 7, [], {}])
def test_a_wrong_model_stays_wrong(value):
    with pytest.raises(ModelNameError, match="missing_model"):
        model_name(json.dumps({"model": value}).encode(), default="d")
