"""Where a request would go, and why."""

from __future__ import annotations

import pytest

from snapshots.explain import Explanation, Request, Share, explain
from snapshots.ir.translate import translate
from tests.support.registries import registry

REGISTRY = """
pools:
  a: {endpoints: [10.0.0.1:1, "[2001:db8::1]:1"], model: org/a, adapters: [lora]}
  b: {endpoints: [b.example.com:2]}
  idle: {endpoints: []}
models:
  small: {pool: a, aliases: [tiny], paths: [/v1/small, /team/small], timeout: 5s}
  kept:
    split: {a: 70, b: 30}
    sticky: {header: X-User-Id}
    retries: {attempts: 1, on: [reset, 503, 429], per_try_timeout: 30s}
  once: {pool: a, retries: {attempts: 0}, mirror: {pool: b, percent: 5}}
  safe: {pool: a, fallback: [b], retries: {on: [500]}}
  safer: {pool: b, fallback: [a], retries: {attempts: 1}}
  auto: {split: {a: 70, b: 30, idle: 0}, paths: [/v1/small/auto], timeout: 0s}
"""
[GATEWAY] = translate(registry(REGISTRY)).gateways
A = ("10.0.0.1:1", "[2001:db8::1]:1")


def explained(
    model: str | None, path: str = "/v1/chat/completions", method: str = "POST"
) -> Explanation:
    return explain(GATEWAY, Request(model, path, method))


def test_a_model_goes_to_its_pool():
    assert explained("small") == Explanation(
        gateway="default",
        scope="model/small",
        why=(
            "model 'small' is read from the body into x-gateway-model-name",
            "'small' is declared at models.small",
        ),
        status=None,
        base_model="small",
        upstream_path="/v1/chat/completions",
        shares=(Share("a", 100.0, "org/a", A),),
        timeout_s=5.0,
        rules=("it is tried again up to 2 times if no server saw it",),
    )


def test_what_else_holds_is_told_in_words():
    sticky, retries = explained("kept").rules

    assert sticky == (
        "the same header x-user-id always leads to the same pool; without it, chance decides"
    )
    assert retries == (
        "it is tried again once if its server ended the connection unanswered, or nothing came "
        "within 30 s, or the answer is 429, 503"
    )
    assert explained("once").rules == (
        "5 % of the requests are copied to pool b; nobody waits for the answers to the copies",
        "it is never tried again",
    )


def test_where_a_request_goes_on_is_told():
    assert explained("safe").rules == (
        "if its pool is down, full, or answers 429, 500, 502, 503, it goes on to b",
    )
    assert explained("safe").fallback == (Share("b", 0.0, "", ("b.example.com:2",)),)
    assert explained("safer").rules == (
        "if its pool is down, full, or answers 429, 502, 503, it goes on to a; each gets 2 tries",
    )


def test_a_split_tells_the_share_of_each_pool():
    assert explained("auto").shares == (
        Share("a", 70.0, "org/a", A),
        Share("b", 30.0, "", ("b.example.com:2",)),
        Share("idle", 0.0, "", ()),
    )


def test_an_alias_tells_where_it_is_declared_and_what_it_stands_for():
    tiny = explained("tiny")

    assert tiny.why[-1] == "'tiny' is declared at models.small.aliases"
    assert (tiny.scope, tiny.base_model) == ("model/tiny", "small")


def test_an_adapter_keeps_its_name():
    lora = explained("lora")

    assert lora.shares == (Share("a", 100.0, "", A),)
    assert lora.base_model == "org/a"


@pytest.mark.parametrize("model", ["Small", "small ", "no-such-model", "-"])
def test_an_unknown_name_is_answered_by_envoy_with_404(model):
    unknown = explained(model)

    assert (unknown.status, unknown.scope, unknown.shares) == (404, "", ())
    assert unknown.why[-1].startswith("no model, alias or adapter has this name")


def test_a_name_that_is_nearly_right_is_told_the_right_one():
    assert explained("smal").why[-1].endswith("; did you mean 'small'?")


@pytest.mark.parametrize("model", [None, "", " \t"])
def test_a_body_without_a_model_is_answered_with_400(model):
    assert explained(model).status == 400
    assert explained(model).why == ("the body names no model",)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_a_method_without_a_body_is_answered_with_400(method):
    answered = explained("small", method=method)

    assert (answered.status, answered.scope) == (400, "no-model")
    assert answered.why == (f"{method} has no body to read a model from",)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models?limit=2"])
def test_the_list_of_models_is_answered_by_the_gateway(method, path):
    assert explained(None, path, method).status == 200


def test_posting_to_the_list_of_models_is_a_request_like_any_other():
    assert explained("small", "/v1/models").shares


@pytest.mark.parametrize(
    ("path", "upstream_path"),
    [
        ("/v1/small/chat/completions", "/v1/chat/completions"),
        ("/v1/small", "/v1/"),
        ("/v1/small?a=b", "/v1/?a=b"),
        ("/v1/small/x?a=/v1/small", "/v1/x?a=/v1/small"),
        ("/team/small/v1/chat/completions", "/v1/chat/completions"),
        ("/team/small", "/"),
    ],
)
def test_a_path_selects_its_model_whatever_the_body_says_and_is_cut(path, upstream_path):
    for model in ("auto", "no-such-model", None):
        found = explained(model, path)

        assert (found.scope, found.base_model) == ("no-model", "small")
        assert found.upstream_path == upstream_path
        assert "the body is not looked at" in found.why[0]


def test_the_longest_path_wins():
    assert explained(None, "/v1/small/auto/x").base_model == "auto"


def test_a_path_route_takes_every_method():
    assert explained(None, "/v1/small/models", "GET").upstream_path == "/v1/models"


@pytest.mark.parametrize("path", ["/v1/smaller/x", "/v1/smal", "/V1/small/x", "/x/v1/small"])
def test_a_path_that_only_looks_alike_selects_nothing(path):
    assert explained("auto", path).scope == "model/auto"


def test_no_timeout_is_zero():
    assert explained("auto").timeout_s == 0.0


WILDCARDS = """
pools: {a: {endpoints: [10.0.0.1:1], model: org/a}}
models:
  exact: {pool: a}
  ft:*: {pool: a, aliases: [ft:new-*]}
default_model: exact
"""


@pytest.mark.parametrize(
    ("model", "scope"),
    [
        ("exact", "model/exact"),
        ("ft:x", "model/ft:*"),
        ("ft:*", "model/ft:*"),
        ("ft:new-x", "model/ft:new-*"),
        ("FT:x", ""),
    ],
)
def test_a_name_goes_by_the_longest_wildcard_unless_it_is_there_exactly(model, scope):
    [gateway] = translate(registry(WILDCARDS)).gateways
    found = explain(gateway, Request(model))

    assert found.scope == scope
    assert any("wildcard" in step for step in found.why) == (model != "exact")


def test_a_body_without_a_model_is_told_to_get_the_default_and_keep_none():
    [gateway] = translate(registry(WILDCARDS)).gateways
    found = explain(gateway, Request(None))

    assert (found.scope, found.status, found.base_model) == ("model/exact", None, "exact")
    assert found.why[0] == "the body has no model, and keeps none: 'exact' is the default"
    assert [share.rewrite_to for share in found.shares] == [""]
    assert explain(gateway, Request("")).status == 400


def test_limits_are_told():
    (gateway,) = translate(
        registry(
            """
            pools: {p: {endpoints: [10.0.0.1:80]}}
            models:
              m: {pool: p, aliases: [n], rate_limit: {requests_per_second: 1, burst: 5}}
            auth:
              clients:
                team:
                  key_env: KEY
                  rate_limit: {requests_per_second: 2}
            """
        )
    ).gateways

    told = explain(gateway, Request(model="n", client="team"))

    assert told.rules[-2:] == (
        "'m' may get 1 request a second, 5 at once, by each Envoy; 429 beyond",
        "the client may send 2 requests a second, 2 at once, by each Envoy; 429 beyond",
    )


def test_credentials_are_told_by_where_they_are():
    text = """
    pools: {a: {endpoints: ["10.0.0.1:1"]}, b: {endpoints: ["10.0.0.2:1"]}}
    models: {both: {pool: a, fallback: [b]}}
    auth: {upstream: {b: {value_file: secrets/b}}}
    """
    [gateway] = translate(registry(text)).gateways

    rules = explain(gateway, Request("both")).rules

    assert rules[-2:] == (
        "pool 'a' gets no authorization: another pool sets it for itself",
        "pool 'b' is shown what the file secrets/b holds, as authorization",
    )


def test_a_pool_that_is_reached_by_tls_is_told_with_the_name_that_it_must_prove():
    text = """
    pools:
      a: {endpoints: ["10.0.0.1:1"], tls: {server_name: models.internal}}
      b: {endpoints: ["b.example.com:1"], tls: true}
    models: {both: {split: {a: 1, b: 1}}}
    """
    [gateway] = translate(registry(text)).gateways

    rules = explain(gateway, Request("both")).rules

    assert rules[-2:] == (
        "pool 'a' is reached by TLS; a server must prove to be models.internal",
        "pool 'b' is reached by TLS; a server must prove to be its own DNS name",
    )


def test_priorities_are_told():
    (gateway,) = translate(
        registry(
            """
            pools:
              p: {endpoints: [10.0.0.1:80], max_requests: 24, max_critical_requests: 12}
              q: {endpoints: [10.0.0.2:80], shed_at: 7}
            models:
              urgent: {pool: p, priority: critical}
              batch: {split: {p: 1, q: 1}, priority: sheddable}
            """
        )
    ).gateways

    assert explain(gateway, Request(model="urgent")).rules[-1] == (
        "critical requests have a budget of their own in each Envoy: 12 at p"
    )
    assert explain(gateway, Request(model="batch")).rules[-1] == (
        "429 `shed` where one Envoy has so many requests in flight: 19 at p, 7 at q"
    )


def test_what_pools_and_models_change_on_the_way_is_told():
    text = """
    pools:
      a:
        endpoints: ["10.0.0.1:1"]
        path_rewrite: /openai/v1
        protocol: http2
        headers: {request: {set: {x-tier: gold}, remove: [cookie]}}
      b: {url: "https://api.example.com/v1", outlier_detection: {consecutive_5xx: 7}}
    models:
      m: {pool: a, fallback: [b], headers: {response: {set: {x-b: "1", x-a: "2"}}}}
    """
    [gateway] = translate(registry(text)).gateways

    assert explain(gateway, Request("m")).rules[1:] == (
        "it sets x-a, x-b in answers",
        "pool 'a' is spoken to in HTTP/2",
        "for pool 'a', /openai/v1 stands for a leading /v1 of the path",
        "pool 'a' sets x-tier and removes cookie in requests",
        "pool 'b' is reached by TLS; a server must prove to be api.example.com",
        "a server of pool 'b' is left alone for 5 s once 3 requests in a row cannot reach it"
        " or 7 are answered with 5xx",
        "pool 'b' is told the host api.example.com",
        "pool 'b' gets no cookie, x-tier: another pool sets it for itself",
    )


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("{policy: maglev, key: {header: X-User}}", "header x-user"),
        ("{policy: ring_hash, key: {cookie: user}}", "cookie user"),
        ("{policy: maglev, key: client_ip}", "the address of the client"),
        ("maglev", ""),
    ],
)
def test_what_decides_on_a_server_is_told(policy, told):
    text = f"""
    pools: {{a: {{endpoints: ["10.0.0.1:1"], load_balancing: {policy}}}}}
    models: {{m: {{pool: a}}}}
    """
    [gateway] = translate(registry(text)).gateways

    assert explain(gateway, Request("m")).shares[0].chosen_by == told
