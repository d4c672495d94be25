"""What goldens cannot say of routes: it holds for every path, name and number of models."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.explain import Request, explain
from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.translate import translate
from snapshots.resources.no_model_routes import build_no_model_routes
from snapshots.resources.parts import literal
from snapshots.resources.routes import build_model_routes
from tests.support.registries import EXACT_NAMES, NAMES, PATHS, registry_of

EXTRACTION = ir.Extraction("native", "native", 1024)


def gateway(models: dict, pool: str = "p") -> ir.Gateway:
    data = {"version": 1, "pools": {pool: {"endpoints": ["10.0.0.1:1"]}}, "models": models}
    [found] = translate(registry_of(data)).gateways
    return found


@settings(max_examples=60, deadline=None)
@given(PATHS, st.sampled_from(["", "/", "/chat/completions", "//x", "/../x"]))
def test_a_path_is_cut_as_explained(prefix, rest):
    one = gateway({"m": {"pool": "p", "paths": [prefix]}})
    [action] = (
        route.route
        for route in build_no_model_routes(one).virtual_hosts[0].routes
        if route.match.path_separated_prefix == prefix
    )

    # Python's expressions and Envoy's (RE2) agree on those that are generated.
    cut, count = re.subn(
        action.regex_rewrite.pattern.regex, action.regex_rewrite.substitution, prefix + rest
    )

    assert count == 1
    assert cut == explain(one, Request(None, prefix + rest)).upstream_path


def test_characters_of_a_path_are_no_expression():
    one = gateway({"m": {"pool": "p", "paths": ["/v1/a.b+c(d)$"]}})
    [rewrite] = (
        route.route.regex_rewrite
        for route in build_no_model_routes(one).virtual_hosts[0].routes
        if route.match.path_separated_prefix
    )

    assert re.match(rewrite.pattern.regex, "/v1/a.b+c(d)$/x")
    assert not re.match(rewrite.pattern.regex, "/v1/aXbbc")


@settings(max_examples=60, deadline=None)
@given(EXACT_NAMES, NAMES)
def test_a_percent_sign_in_a_name_is_no_command_of_envoys_formatter(model, pool):
    [route] = gateway({model: {"pool": pool}}, pool).routes
    [host] = build_model_routes(route, EXTRACTION, response_headers=True).virtual_hosts
    [share] = host.routes[0].route.weighted_clusters.clusters

    added = {
        option.header.key: option.header.value
        for option in (*host.request_headers_to_add, *share.response_headers_to_add)
    }
    assert added[names.BASE_MODEL_HEADER].replace("%%", "") == model.replace("%", "")
    assert added[names.POOL_HEADER] == literal(pool)
    assert share.name == names.cluster_name(pool)


def test_a_list_of_many_models_is_allowed_its_length():
    few, many = (
        build_no_model_routes(gateway({f"model-{i}": {"pool": "p"} for i in range(count)}))
        for count in (1, 1000)
    )

    routes = many.virtual_hosts[0].routes
    [body] = [r.direct_response.body.inline_string for r in routes if r.match.path == "/v1/models"]
    assert len(json.loads(body)["data"]) == 1000
    assert many.max_direct_response_body_size_bytes >= len(body.encode())
    assert few.max_direct_response_body_size_bytes == 4096


def test_every_request_without_a_model_finds_a_route():
    routes = build_no_model_routes(gateway({})).virtual_hosts[0].routes

    assert routes[-1].match.prefix == "/"
    assert not routes[-1].match.headers
