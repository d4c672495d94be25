"""Both extractions keep the rule on damaged bodies; `make fuzz` tries many more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import coverage
from tests.fuzz.extraction import DisagreementError, check, companion, run
from tests.fuzz.grammar import form_body, json_body
from tests.fuzz.mutations import SEEDS, Mutant, Mutator
from tests.fuzz.oracle import Answer, answer, is_deep
from tests.support.corpus import CASES
from tests.support.corpus_multipart import FORM

COUNT = 6000
SEED = 20


def test_the_rule_says_of_the_corpus_what_the_corpus_says():
    for case in CASES:
        said = answer(case.body, case.content_type.encode())

        assert case.allows(said.model, said.code), f"{case.name}: {said}"


def test_damaged_bodies_are_read_by_the_rule():
    """A seed of its own, so that the same bodies are tried each time."""
    answers = run(COUNT, SEED)

    assert set(answers) == {
        *("a model", "invalid_json", "invalid_multipart", "missing_model", "ambiguous_model"),
        "model_not_found",
    }
    assert min(answers.values()) > COUNT / 100


@given(st.randoms(use_true_random=False), st.booleans())
def test_new_bodies_are_read_by_the_rule(random, is_form):
    if is_form:
        check(Mutant(form_body(random), FORM.encode()))
    else:
        check(Mutant(json_body(random), b"application/json"))


@given(st.sampled_from(SEEDS), st.integers(0, 4000), st.integers(0, 16), st.binary(max_size=16))
def test_bytes_in_the_place_of_others_are_read_by_the_rule(seed, at, removed, added):
    body = seed.body[:at] + added + seed.body[at + removed :]

    check(Mutant(body, seed.content_type))


def test_the_same_seed_makes_the_same_bodies():
    one, other = Mutator(1), Mutator(1)

    assert [one.mutant() for _ in range(100)] == [other.mutant() for _ in range(100)]


def last_of_all(mutant: Mutant) -> Answer:
    """Read as `json.loads` alone would: of a repeated key, the last value."""
    right = companion(mutant)
    if right.code != "ambiguous_model" or mutant.content_type.startswith(b"multipart"):
        return right
    return Answer(model=json.loads(mutant.body)["model"])


def test_a_reader_that_breaks_the_rule_is_found_out_by_a_small_body():
    with pytest.raises(DisagreementError) as disagreement:
        run(COUNT, SEED, {"a careless reader": last_of_all})

    told = str(disagreement.value)
    assert "a careless reader says Answer(model=" in told
    assert "the rule Answer(model=None, code='ambiguous_model')" in told
    assert len(told) < 300


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[" * 501, True),
        (b"[" * 500, False),
        (b'{"a":' * 501, True),
        (b"[]" * 600, False),
        (b'"' + b"[" * 600 + b'"', False),
        (b'"\\"' + b"[" * 600, False),
    ],
)
def test_only_deep_nesting_may_be_refused_for_itself(body, expected):
    assert is_deep(body) is expected


def test_guided_bodies_are_read_by_the_rule_where_atheris_is_installed():
    told = coverage.run(200, SEED)

    assert told.startswith("skipped: atheris is not installed") or "each read by the rule" in told
