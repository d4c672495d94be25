"""Who may use what."""

from __future__ import annotations

import pytest

from snapshots.explain import Request, explain
from snapshots.ir.clients import is_allowed
from snapshots.ir.translate import translate
from tests.support.registries import registry

REGISTRY = """
pools: {p: {endpoints: [10.0.0.1:1], adapters: [lora]}}
models:
  one: {pool: p, aliases: [uno]}
  two: {pool: p, paths: [/v1/two]}
auth:
  clients:
    wide: {key_file: wide}
    narrow: {key_file: narrow, models: [one]}
    third: {key_env: THIRD, models: [lora, two]}
    nothing: {key_file: nothing, models: []}
"""
[GATEWAY] = translate(registry(REGISTRY), {"wide": "d1"}).gateways
MAY = {
    "one": {"wide", "narrow"},
    "uno": {"wide", "narrow"},
    "two": {"wide", "third"},
    "lora": {"wide", "third"},
}


def test_each_name_is_for_the_clients_that_list_it_and_those_that_list_none():
    clients = [client.name for client in GATEWAY.clients]
    may = {
        route.name: {client for client in clients if is_allowed(client, route.restriction)}
        for route in GATEWAY.routes
    }

    assert clients == sorted(clients)
    assert may == MAY


def test_a_key_that_is_not_there_is_the_digest_of_none():
    assert {client.name: client.key_sha256 for client in GATEWAY.clients} == {
        "wide": "d1",
        "narrow": "key_file narrow",
        "third": "key_env THIRD",
        "nothing": "key_file nothing",
    }


def test_whichever_list_is_shorter_stands_for_the_restriction():
    clients = "\n".join(f"    c{i}: {{key_file: f{i}}}" for i in range(9))
    text = (
        REGISTRY.split("auth:", maxsplit=1)[0]
        + f"auth:\n  clients:\n{clients}\n    x: {{key_file: x, models: [one]}}"
    )
    [gateway] = translate(registry(text)).gateways
    restrictions = {route.name: route.restriction for route in gateway.routes}

    assert restrictions["one"] is None
    assert restrictions["two"].clients == ("x",)
    assert not restrictions["two"].are_allowed


def test_nothing_is_restricted_where_every_client_may_use_everything():
    text = REGISTRY.split("    narrow", maxsplit=1)[0]
    [gateway] = translate(registry(text)).gateways

    assert {route.restriction for route in gateway.routes} == {None}


@pytest.mark.parametrize(
    ("client", "model", "path", "status"),
    [
        ("wide", "two", "/v1/completions", None),
        ("narrow", "uno", "/v1/completions", None),
        ("narrow", "two", "/v1/completions", 403),
        ("narrow", "one", "/v1/two/completions", 403),
        ("third", "one", "/v1/two/completions", None),
        ("nobody", "one", "/v1/completions", 401),
        (None, "one", "/v1/completions", 401),
        ("wide", "three", "/v1/completions", 404),
    ],
)
def test_explain_tells_whether_a_client_may(client, model, path, status):
    told = explain(GATEWAY, Request(model, path, client=client))

    assert told.status == status
    if status == 403:
        assert told.why[-1].startswith("the client narrow may not use")
