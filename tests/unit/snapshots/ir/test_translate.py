"""The registry with everything resolved: defaults, references, order."""

from __future__ import annotations

import pytest

from snapshots.ir import model as ir
from snapshots.ir.translate import translate
from snapshots.node_selector import NodeSelector
from tests.support.registries import registry


def gateway(text: str, name: str = "default") -> ir.Gateway:
    """Return one gateway of the registry *text*."""
    [found] = (g for g in translate(registry(text)).gateways if g.name == name)
    return found


def route(text: str, name: str) -> ir.Route:
    """Return the route of one routable name."""
    [found] = (r for r in gateway(text).routes if r.name == name)
    return found


def routable(found: ir.Gateway) -> list[str]:
    return [r.name for r in found.routes]


ONE_MODEL = """
pools: {p: {endpoints: [10.0.0.1:8000]}}
models: {m: {pool: p}}
"""


# --- defaults ---


def test_what_is_not_said_is_resolved():
    assert gateway(ONE_MODEL) == ir.Gateway(
        name="default",
        nodes=NodeSelector(),
        host="0.0.0.0",
        port=10000,
        response_headers=True,
        extraction=ir.Extraction("ext_proc", "native", 16 * 2**20),
        routes=(ir.Route("m", "m", (ir.Target("p", 1, "", ()),), 300.0, 300.0, ("models", "m")),),
        path_routes=(),
        pools=(
            ir.Pool(
                name="p",
                endpoints=(ir.Endpoint("10.0.0.1", 8000, 1, ""),),
                by_dns=False,
                health_check=ir.HealthCheck("/health", 15.0, 15.0),
                load_balancing="least_request",
                rewrites=False,
            ),
        ),
    )


def test_an_empty_registry_has_one_gateway_that_routes_nothing():
    empty = gateway("")

    assert (empty.nodes.key, empty.routes, empty.path_routes, empty.pools) == ("*", (), (), ())


def test_times_are_seconds_and_zero_is_none():
    text = """
    pools: {p: {endpoints: [a:1], health_check: {interval: 250ms, timeout: 1.5s}}}
    models: {m: {pool: p, timeout: 0s, idle_timeout: 5m}}
    """

    assert (route(text, "m").timeout_s, route(text, "m").idle_timeout_s) == (0.0, 300.0)
    assert gateway(text).pools[0].health_check == ir.HealthCheck("/health", 0.25, 1.5)


def test_a_switched_off_health_check_is_none():
    text = ONE_MODEL.replace("8000]", "8000], health_check: false")

    assert gateway(text).pools[0].health_check is None


# --- models and aliases ---

SPLIT = """
pools:
  b: {endpoints: [10.0.0.2:1], model: org/b, adapters: [z, y]}
  a: {endpoints: [10.0.0.1:1]}
models:
  auto: {split: {b: 30, a: 70}, aliases: [any, best], timeout: 10s, idle_timeout: 2s}
"""


def test_a_split_has_a_target_for_each_pool_in_a_fixed_order():
    assert route(SPLIT, "auto").targets == (
        ir.Target("a", 70, "", ()),
        ir.Target("b", 30, "org/b", ("y", "z")),
    )


def test_an_alias_is_its_model_by_another_name():
    model, alias = route(SPLIT, "auto"), route(SPLIT, "best")

    assert alias.base_model == "auto"
    assert alias.origin == ("models", "auto", "aliases")
    assert (alias.targets, alias.timeout_s, alias.idle_timeout_s) == (
        model.targets,
        model.timeout_s,
        model.idle_timeout_s,
    )


def test_a_pool_with_a_weight_of_zero_is_still_there():
    text = """
    pools: {a: {endpoints: [10.0.0.1:1]}, b: {endpoints: []}}
    models: {m: {split: {a: 1, b: 0}}}
    """

    assert [target.weight for target in route(text, "m").targets] == [1, 0]
    assert [pool.name for pool in gateway(text).pools] == ["a", "b"]


# --- adapters ---


def test_an_adapter_goes_to_its_pool_alone_and_keeps_its_name():
    adapter = route(SPLIT, "y")

    assert adapter.targets == (ir.Target("b", 1, "", ()),)
    assert adapter.origin == ("pools", "b", "adapters")


def test_an_adapters_base_model_is_what_the_servers_call_it():
    assert route(SPLIT, "y").base_model == "org/b"


TWO_MODELS = """
pools: {p: {endpoints: [10.0.0.1:1], adapters: [lora]}}
models:
  zebra: {pool: p, aliases: [aardvark], timeout: 7s, idle_timeout: 3s}
  apple: {pool: p, timeout: 9s, idle_timeout: 4s}
"""


def test_without_that_it_is_the_first_model_of_the_file_that_points_there():
    assert route(TWO_MODELS, "lora").base_model == "zebra"


def test_a_split_points_there_too_even_with_a_weight_of_zero():
    text = """
    pools: {p: {endpoints: [10.0.0.1:1], adapters: [lora]}, q: {endpoints: [10.0.0.2:1]}}
    models: {first: {split: {q: 1, p: 0}}, second: {pool: p}}
    """

    assert route(text, "lora").base_model == "first"


def test_an_adapter_has_the_times_of_that_model():
    assert route(TWO_MODELS, "lora").timeout_s == 7.0
    assert route(TWO_MODELS, "lora").idle_timeout_s == 3.0


def test_adapters_of_a_pool_without_a_model_can_be_requested():
    text = "pools: {p: {endpoints: [10.0.0.1:1], adapters: [lora]}}"

    assert route(text, "lora").base_model == "p"
    assert (route(text, "lora").timeout_s, route(text, "lora").idle_timeout_s) == (300.0, 300.0)


# --- gateways ---

SEVERAL = """
gateways:
  inner: {listen: "[::1]:8080", node_cluster: inside}
  edge: {node_cluster: edge, models: [small], response_headers: false}
  none: {node_cluster: nowhere, models: []}
pools:
  a: {endpoints: [10.0.0.1:1], adapters: [lora-a]}
  b: {endpoints: [10.0.0.2:1], adapters: [lora-b]}
  idle: {endpoints: [10.0.0.3:1]}
models:
  small: {pool: a, aliases: [tiny], paths: [/v1/small]}
  large: {pool: b, aliases: [huge], paths: [/v1/large]}
extraction: {mode: native, max_body: 64KiB}
"""


def test_a_gateway_without_a_list_exposes_everything():
    assert routable(gateway(SEVERAL, "inner")) == [
        "huge", "large", "lora-a", "lora-b", "small", "tiny",
    ]  # fmt: skip


def test_a_list_exposes_its_models_with_their_aliases_paths_adapters_and_pools_only():
    edge = gateway(SEVERAL, "edge")

    assert routable(edge) == ["lora-a", "small", "tiny"]
    assert [path_route.prefix for path_route in edge.path_routes] == ["/v1/small"]
    assert [pool.name for pool in edge.pools] == ["a"]
    assert not edge.response_headers


def test_an_empty_list_exposes_nothing():
    nothing = gateway(SEVERAL, "none")

    assert (nothing.routes, nothing.path_routes, nothing.pools) == ((), (), ())


def test_a_pool_that_nothing_leads_to_is_left_out():
    assert [pool.name for pool in gateway(SEVERAL, "inner").pools] == ["a", "b"]


def test_each_gateway_has_its_address_and_the_extraction_of_the_file():
    inner = gateway(SEVERAL, "inner")

    assert (inner.host, inner.port, inner.nodes.cluster) == ("::1", 8080, "inside")
    assert inner.extraction == ir.Extraction("native", "native", 65536)
    assert gateway(SEVERAL, "edge").extraction == inner.extraction


def test_gateways_are_in_the_order_of_their_names():
    assert [g.name for g in translate(registry(SEVERAL)).gateways] == ["edge", "inner", "none"]


# --- paths ---

PATHS = """
pools: {{p: {{endpoints: [10.0.0.1:1]}}}}
models:
  m: {{pool: p, paths: {paths}}}
"""


@pytest.mark.parametrize(
    ("prefix", "replacement"),
    [
        ("/v1/1b", "/v1"),
        ("/v12/1b", "/v12"),
        ("/v1/a/b", "/v1"),
        ("/team/llama", ""),
        ("/team/v1/llama", ""),
        ("/version/1", ""),
        ("/v1a/1b", ""),
        ("/v/1b", ""),
    ],
)
def test_a_prefix_is_cut_but_for_a_leading_api_version(prefix, replacement):
    [path_route] = gateway(PATHS.format(paths=[prefix])).path_routes

    assert (path_route.prefix, path_route.replacement) == (prefix, replacement)


def test_the_longest_prefix_comes_first_then_the_alphabet():
    paths = ["/v1/b", "/v1/a", "/v1/a/b", "/v1/abc"]

    found = [p.prefix for p in gateway(PATHS.format(paths=paths)).path_routes]

    assert found == ["/v1/a/b", "/v1/abc", "/v1/a", "/v1/b"]


def test_a_path_leads_where_its_model_does():
    text = PATHS.format(paths=["/v1/1b"])

    assert gateway(text).path_routes[0].route == route(text, "m")
