"""The companion's extraction on the corpus that both extractions are held to."""

from __future__ import annotations

import pytest

from tests.support.corpus import CASES, Case, large_cases
from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import model_name


def check(case: Case) -> None:
    try:
        model, code = model_name(case.body, case.content_type.encode()), None
    except ModelNameError as error:
        model, code = None, error.code

    assert case.allows(model, code), f"{case.name}: {model!r} {code}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_body_of_the_corpus_is_answered_as_it_says(case):
    check(case)


@pytest.mark.timeout(30)
def test_large_bodies_of_the_corpus_are_answered_as_they_say():
    for case in large_cases():
        check(case)
