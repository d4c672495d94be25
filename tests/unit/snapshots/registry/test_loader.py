"""From the bytes of a file to a registry, or to every reason why not."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.registry.addresses import Address
from snapshots.registry.loader import MAX_FILE_BYTES, Problem, RegistryError, load_registry, locate
from snapshots.registry.schema import Endpoint, HealthCheck, Registry

EXAMPLE = Path(__file__).parents[4] / "envoy" / "registry.example.yaml"


def problems(text):
    with pytest.raises(RegistryError) as refused:
        load_registry(text, "registry.yaml")
    return refused.value.problems


def test_a_version_alone_is_an_empty_registry():
    registry = load_registry(b"version: 1", "registry.yaml")

    assert registry == Registry(version=1)
    assert list(registry.gateways) == ["default"]
    assert not registry.pools
    assert not registry.models


def test_the_example_says_what_it_says():
    registry = load_registry(EXAMPLE.read_bytes(), str(EXAMPLE))

    assert registry.gateways["default"].listen == Address("0.0.0.0", 10000)
    pool = registry.pools["llama-1b"]
    assert pool.endpoints == (
        Endpoint(address=Address("10.0.0.1", 8000)),
        Endpoint(address=Address("10.0.0.2", 8000), weight=2, zone="a"),
    )
    assert pool.health_check == HealthCheck()
    assert registry.pools["external"].health_check is False
    assert registry.models["auto"].split == {"llama-1b": 70, "llama-3b": 30}
    assert registry.models["llama-3-2-1b"].timeout == timedelta(minutes=5)
    assert registry.models["4"].pool == "external"
    assert registry.extraction.max_body == 16 * 2**20


def test_anchors_and_merge_keys_share_what_is_equal():
    registry = load_registry(
        b"""
        version: 1
        pools:
          a: &pool {endpoints: ["10.0.0.1:80"], load_balancing: random}
          b: {<<: *pool, model: other}
        """,
        "registry.yaml",
    )

    assert registry.pools["b"].load_balancing.policy == "random"
    assert registry.pools["a"].model is None


def test_equal_names_of_models_and_pools_do_not_meet():
    text = b"{version: 1, pools: {a: {endpoints: ['a:80'], model: a}}, models: {a: {pool: a}}}"

    assert load_registry(text, "registry.yaml").models["a"].pool == "a"


def test_a_pool_that_no_model_needs_may_be_empty():
    text = b"""
    version: 1
    pools: {used: {endpoints: ["a:80"]}, drained: {endpoints: []}, unused: {endpoints: []}}
    models: {a: {split: {used: 1, drained: 0}}}
    """

    assert load_registry(text, "registry.yaml").pools["drained"].endpoints == ()


def test_a_problem_is_one_line_that_editors_can_follow():
    text = b"version: 1\nmodels:\n  auto:\n    split:\n      llama-9b: 1\npools:\n  llama-3b: {}\n"

    dangling, missing = problems(text)

    assert dangling == Problem(
        source="registry.yaml",
        line=5,
        column=7,
        place="models.auto.split.llama-9b",
        message="no pool has this name",
        hint="did you mean `llama-3b`?",
    )
    assert str(dangling) == (
        "registry.yaml:5:7: models.auto.split.llama-9b: no pool has this name"
        " (hint: did you mean `llama-3b`?)"
    )
    assert missing.place == "pools.llama-3b"


def test_an_error_lists_its_problems_in_the_order_of_the_file():
    text = b"version: 1\nmodels: {b: {}, a: {}}\ncolour: red\npools: []\n"

    with pytest.raises(RegistryError) as refused:
        load_registry(text, "r")

    lines = str(refused.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["r:2:10", "r:2:17", "r:3:1", "r:4:1"]


def test_a_message_stays_on_its_line_whatever_the_name_holds():
    text = b'version: 1\nmodels: {"a\\nb\\u2028c": {pool: "x\\ny"}}\n'

    assert len(str(problems(text)[0]).splitlines()) == 1


def test_a_file_over_the_bound_is_refused_unread():
    (problem,) = problems(b"version: 1\n" + b"#" * MAX_FILE_BYTES)

    assert str(problem) == "registry.yaml:1:1: the file is larger than 16 MiB"


def test_a_file_of_the_bound_is_read():
    text = b"version: 1\n".ljust(MAX_FILE_BYTES, b"#")

    assert load_registry(text, "registry.yaml") == Registry(version=1)


def test_thousands_of_wrong_names_are_refused_in_bounded_time():
    models = "".join(f"  model-{n}: {{pool: pol-{n}}}\n" for n in range(3000))
    pools = "".join(f"  pool-{n}: {{endpoints: ['a:80']}}\n" for n in range(3000))
    started = time.monotonic()

    found = problems(f"version: 1\nmodels:\n{models}pools:\n{pools}".encode())

    assert len(found) == 3000
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("text", "path", "place"),
    [
        (b"version: 1\nmodels:\n  a: {pool: p}\n", ("models", "a", "pool"), (3, 7)),
        (b"version: 1\nmodels:\n  a: {pool: p}\n", ("models", "b"), (2, 1)),
        (b"version: 1\nmodels: [\n", ("models",), (3, 1)),
        (b"", ("models",), (1, 1)),
        (b"\xff", (), (1, 1)),
        (b"\xff\xfe", (), (1, 1)),
    ],
)
def test_any_text_has_a_place_for_any_path(text, path, place):
    assert locate(text, path) == place


FRAGMENTS = [
    *("version: 1\n", "pools:\n", "models:\n", "gateways:\n", "extraction:\n", "  a:\n", "  b: "),
    *(
        "    endpoints: ",
        "    split: ",
        "    pool: ",
        "    aliases: ",
        "    paths: ",
        "    adapters: ",
    ),
    *("a", "b", "1", "-1", "0.5", "no", "null", "~", "2024-01-01", "300s", "16MiB", "/v1/a", '"-"'),
    *(
        "a:80",
        "10.0.0.1:80",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "? ",
        "- ",
        "\n",
        "  ",
        "\t",
        "#",
        "'",
    ),
    *(
        '"',
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\\",
    ),
]
YAMLISH = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=40).map("".join)


def outcome(text):
    """Return the registry in *text* or the refusal of it; anything else that is raised is a bug."""
    try:
        return load_registry(text, "registry.yaml")
    except RegistryError as error:
        return error


@settings(max_examples=300)
@given(YAMLISH.map(str.encode) | st.binary(max_size=200))
def test_any_text_gives_a_registry_or_problems_inside_it(text):
    result = outcome(text)

    if isinstance(result, RegistryError):
        # YAML also breaks lines at U+0085, U+2028 and U+2029.
        lines = len(text.decode(errors="replace").splitlines()) + 2
        assert result.problems
        assert all(1 <= p.line <= lines and p.column >= 1 for p in result.problems)
        assert str(result).count("\n") == len(result.problems) - 1


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
FIELDS = st.sampled_from(
    [
        *("version", "pools", "models", "gateways", "extraction", "endpoints", "pool", "split"),
        *("paths", "aliases", "adapters", "address", "listen", "health_check", "timeout", "a", "b"),
    ]
)
TREES = st.recursive(
    SCALARS | FIELDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(FIELDS, TREES))
def test_any_tree_gives_a_registry_or_problems_inside_it(tree):
    text = yaml.dump({"version": 1, **tree}, allow_unicode=True, sort_keys=False)

    result = outcome(text.encode("utf-8", "surrogatepass"))

    if isinstance(result, RegistryError):
        # YAML also breaks lines at U+0085, U+2028 and U+2029.
        lines = len(text.splitlines()) + 1
        assert all(problem.line <= lines for problem in result.problems)
