"""`modelyard explain`: text for people, JSON for programs, the exit code for scripts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from xds_server.cli import main

REGISTRY = """\
version: 1
gateways:
  default: {}
  edge: {node_cluster: edge, models: [large]}
pools:
  a: {endpoints: [10.0.0.1:8000, 10.0.0.2:8000], model: org/a, adapters: [lora]}
  b: {endpoints: ["[2001:db8::1]:8000"]}
models:
  small: {pool: a, aliases: [tiny], paths: [/v1/small]}
  large: {pool: b, timeout: 0s}
  auto: {split: {a: 2, b: 1}}
"""


@pytest.fixture
def explain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(REGISTRY)

    def run(*arguments: str, **environment: str):
        return CliRunner().invoke(main, ["explain", "registry.yaml", *arguments], env=environment)

    return run


def test_the_whole_way_of_a_request_is_told(explain):
    result = explain("--model", "auto")

    assert result.exit_code == 0
    assert not result.stderr
    assert result.stdout == (
        "gateway   default\n"
        "scope     model/auto\n"
        "why       model 'auto' is read from the body into x-gateway-model-name\n"
        "          'auto' is declared at models.auto\n"
        "path      /v1/chat/completions\n"
        "base      auto\n"
        "timeout   300 s\n"
        "rules     it is tried again up to 2 times if no server saw it\n"
        "pool      a: 66.67 %, model rewritten to 'org/a'\n"
        "            10.0.0.1:8000\n"
        "            10.0.0.2:8000\n"
        "pool      b: 33.33 %\n"
        "            [2001:db8::1]:8000\n"
    )


def test_no_timeout_is_said_so(explain):
    assert "timeout   none\n" in explain("--model", "large").stdout


def test_an_unknown_model_is_refused_with_exit_code_1(explain):
    result = explain("--model", "nope")

    assert result.exit_code == 1
    assert result.stdout == (
        "gateway   default\n"
        "scope     none\n"
        "why       model 'nope' is read from the body into x-gateway-model-name\n"
        "          no model, alias or adapter has this name\n"
        "answer    404 by Envoy itself\n"
    )


def test_a_request_without_a_model_is_refused_with_exit_code_1(explain):
    result = explain()

    assert result.exit_code == 1
    assert "the body names no model" in result.stdout
    assert "answer    400 by Envoy itself" in result.stdout


def test_a_path_may_decide(explain):
    result = explain("--path", "/v1/small/chat/completions", "--model", "nope")

    assert result.exit_code == 0
    assert "why       the path begins with /v1/small: the body is not looked at\n" in result.stdout
    assert "path      /v1/chat/completions\n" in result.stdout


def test_an_adapter_in_the_body_stays_also_where_a_path_decides(explain):
    path = ("--path", "/v1/small/chat/completions")

    assert "pool      a: 100 %\n" in explain(*path, "--model", "lora").stdout
    assert "rewritten to 'org/a'" in explain(*path, "--model", "other").stdout


def test_a_method_without_a_body_names_no_model(explain):
    result = explain("--model", "small", "--method", "get")

    assert result.exit_code == 1
    assert "GET has no body to read a model from" in result.stdout


def test_the_list_of_models_is_an_answer_and_no_refusal(explain):
    result = explain("--method", "GET", "--path", "/v1/models")

    assert result.exit_code == 0
    assert "answer    200 by Envoy itself" in result.stdout


def test_headers_have_no_part_in_it_and_that_is_said(explain):
    headers = ("--header", "X-Gateway-Model-Name=large", "--header", "a=b=c")
    result = explain("--model", "small", *headers)

    assert result.stdout.splitlines()[-2:] == [
        "note      x-gateway-model-name is removed: no client picks a route by header",
        "note      a has no part in routing",
    ]


def test_each_group_of_envoys_has_its_own_view(explain):
    edge = ("--node-cluster", "edge")

    assert explain("--model", "large", *edge).stdout.startswith("gateway   edge\n")
    assert explain("--model", "small", *edge).exit_code == 1


def test_json_holds_the_same(explain):
    result = explain("--model", "tiny", "--header", "a=b", "--json")

    assert json.loads(result.stdout) == {
        "gateway": "default",
        "scope": "model/tiny",
        "why": [
            "model 'tiny' is read from the body into x-gateway-model-name",
            "'tiny' is declared at models.small.aliases",
        ],
        "status": None,
        "base_model": "small",
        "upstream_path": "/v1/chat/completions",
        "shares": [
            {
                "pool": "a",
                "percent": 100.0,
                "rewrite_to": "org/a",
                "endpoints": ["10.0.0.1:8000", "10.0.0.2:8000"],
                "chosen_by": "",
            }
        ],
        "timeout_s": 300.0,
        "fallback": [],
        "rules": ["it is tried again up to 2 times if no server saw it"],
        "user_pool": "",
        "notes": ["a has no part in routing"],
        "revision": "",
    }


def test_json_of_a_refusal_has_its_status_and_exit_code_1(explain):
    result = explain("--model", "nope", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == 404


def test_options_may_come_from_the_environment(explain):
    by_environment = explain(
        MODELYARD_MODEL="nope",
        MODELYARD_PATH="/v1/small/x",
        MODELYARD_METHOD="PUT",
        MODELYARD_NODE_CLUSTER="other",
        MODELYARD_JSON="1",
    )

    by_option = explain(
        "--model", "nope", "--path", "/v1/small/x", "--method", "PUT",
        "--node-cluster", "other", "--json",
    )  # fmt: skip
    assert by_environment.stdout == by_option.stdout != ""


@pytest.mark.parametrize("header", ["nonsense", "=value", ""])
def test_a_header_that_is_none_is_wrong_usage(explain, header):
    result = explain("--model", "small", "--header", header)

    assert result.exit_code == 2
    assert "is not NAME=VALUE" in result.stderr


def test_a_path_that_is_none_is_wrong_usage(explain):
    result = explain("--path", "v1/small")

    assert result.exit_code == 2
    assert "'v1/small' does not begin with /" in result.stderr


def test_a_bad_registry_is_told_as_validate_tells_it(explain):
    Path("registry.yaml").write_text(REGISTRY.replace("pool: b", "pool: c"))

    result = explain("--model", "small")

    assert result.exit_code == 1
    assert not result.stdout
    assert result.stderr.startswith("registry.yaml:10:11: models.large.pool: no pool is named `c`")


# --- users ---

STICKY = REGISTRY + "  ab: {split: {a: 60, b: 40}, sticky: {header: x-user-id}}\n"


@pytest.mark.parametrize(
    "shown", [("--header", "X-User-Id=alice"), ("--user", "alice")], ids=["header", "user"]
)
def test_the_pool_of_a_user_is_told(explain, shown):
    Path("registry.yaml").write_text(STICKY)

    result = explain("--model", "ab", *shown)

    told = json.loads(explain("--model", "ab", *shown, "--json").stdout)
    pool = told["user_pool"]
    assert f"pool      {pool}: " in result.stdout
    assert " %, always that of this user" in result.stdout.partition(f"pool      {pool}: ")[2]
    assert f"always leads to the same pool; this one to {pool}\n" in result.stdout


def test_without_a_user_chance_decides(explain):
    Path("registry.yaml").write_text(STICKY)

    result = explain("--model", "ab")

    assert "always leads to the same pool; without it, chance decides\n" in result.stdout
    assert "of this user" not in result.stdout


# --- keys ---

KEY = "0123456789abcdef0123456789abcdef"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
CLIENTS = f"auth: {{clients: {{team: {{key_sha256: {DIGEST}, models: [small]}}}}}}\n"
CLIENTS_ELSEWHERE = "auth: {clients: {team: {key_file: key}, other: {key_env: OTHER_KEY}}}\n"


@pytest.mark.parametrize(
    "shown",
    [("--key", KEY), ("--header", f"Authorization=Bearer {KEY}"), ("--header", f"x-api-key={KEY}")],
    ids=["key", "bearer", "x-api-key"],
)
def test_a_key_tells_its_client_and_is_not_repeated(explain, shown):
    Path("registry.yaml").write_text(REGISTRY + CLIENTS)

    result, refused = explain("--model", "small", *shown), explain("--model", "large", *shown)

    assert result.exit_code == 0
    assert "why       its key is that of the client team" in result.stdout
    assert KEY not in result.stdout
    assert DIGEST not in result.stdout
    assert refused.exit_code == 1
    assert "answer    403 by Envoy itself\n" in refused.stdout


def test_a_key_may_come_from_the_environment_where_nobody_sees_it(explain):
    Path("registry.yaml").write_text(REGISTRY + CLIENTS)

    assert "the client team" in explain("--model", "small", MODELYARD_KEY=KEY).stdout


def test_a_key_of_nobody_is_told(explain):
    Path("registry.yaml").write_text(REGISTRY + CLIENTS)

    result = explain("--model", "small", "--key", "1" + KEY)

    assert result.exit_code == 1
    assert "answer    401 by Envoy itself\n" in result.stdout
    assert "note      no client has the key that it shows\n" in result.stdout


def test_two_different_keys_are_none(explain):
    Path("registry.yaml").write_text(REGISTRY + CLIENTS)
    both = ("--header", f"x-api-key={KEY}", "--header", "authorization=Bearer other")

    assert "answer    401" in explain("--model", "small", *both).stdout


def test_keys_that_are_elsewhere_are_read_as_far_as_they_can_be(explain):
    Path("registry.yaml").write_text(REGISTRY + CLIENTS_ELSEWHERE)
    Path("key").write_text(f"{KEY}\n")

    found = explain("--model", "small", "--key", KEY)
    other = explain("--model", "small", "--key", "2" + KEY, OTHER_KEY="2" + KEY)
    nobody = explain("--model", "small", "--key", "3" + KEY)

    assert "the client team" in found.stdout
    assert "the client other" in other.stdout
    assert "note      keys that cannot be read here: the variable OTHER_KEY\n" in nobody.stdout


# --- what is explained ---


@pytest.mark.parametrize("arguments", [(), ("registry.yaml", "--status-url", "http://127.0.0.1:1")])
def test_it_is_a_file_or_a_control_plane(explain, arguments):
    assert CliRunner().invoke(main, ["explain", *arguments]).exit_code == 2


def test_a_control_plane_that_does_not_answer_is_told(explain):
    result = CliRunner().invoke(main, ["explain", "--status-url", "http://127.0.0.1:1"])

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1 does not answer: ")
