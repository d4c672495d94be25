"""What each pool shows to its servers, and what it keeps from them for the sake of other pools."""

from __future__ import annotations

from snapshots.ir.translate import translate
from snapshots.material import Source
from tests.support.registries import registry

POOLS = "pools: {a: {endpoints: []}, b: {endpoints: []}, c: {endpoints: []}, d: {endpoints: []}}"


def pools(models: str, upstream: str):
    """Return the pools, and those that get copies, by name."""
    text = POOLS.replace("[]", '["10.0.0.1:80"]')
    intent = translate(
        registry(f"{text}\nmodels: {{{models}}}\nauth: {{upstream: {{{upstream}}}}}\n")
    )
    [gateway] = intent.gateways
    return {pool.name: pool for pool in gateway.pools}


def test_authorization_is_of_bearers_unless_it_is_said_otherwise():
    shown = pools(
        "m: {split: {a: 1, b: 1, c: 1, d: 1}}",
        "a: {value_file: a}, b: {value_env: B, prefix: 'Token '}, "
        "c: {value_file: c, header: X-Api-Key}, d: {value_file: d, prefix: ''}",
    )

    told = {
        name: (pool.credential.header, pool.credential.secret.prefix)
        for name, pool in shown.items()
    }
    assert told == {
        "a": ("authorization", "Bearer "),
        "b": ("authorization", "Token "),
        "c": ("x-api-key", ""),
        "d": ("authorization", ""),
    }
    assert shown["b"].credential.secret.sources == (Source("variable", "B"),)
    assert shown["b"].credential.secret.origin == ("auth", "upstream", "b")


def test_a_pool_drops_what_others_of_its_models_set_for_themselves():
    shown = pools(
        "one: {split: {a: 1, b: 0}}, two: {pool: b, fallback: [c]}, three: {pool: d}",
        "a: {value_file: a}, c: {value_file: c, header: x-api-key}, "
        "d: {value_file: d, header: api-key}",
    )

    assert {name: pool.header_rules.foreign for name, pool in shown.items()} == {
        "a": (),
        "b": ("authorization", "x-api-key"),
        "c": (),
        "d": (),
    }


def test_a_pool_that_gets_copies_does_not_count_as_one_of_the_model():
    shown = pools("one: {pool: a, mirror: {pool: b}}, two: {pool: b}", "b: {value_file: b}")

    assert shown["a"].header_rules.foreign == shown["b"].header_rules.foreign == ()
    assert shown["a"].credential is None
