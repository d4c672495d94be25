"""docs/edge.md: every attack in its table is tried by a test that reads its answer there."""

from __future__ import annotations

import pytest

from tests.docs.shell import ROOT
from tests.support.attacks import HTTP1, HTTP2
from tests.support.edge_page import told_answers

TESTS = "\n".join(
    path.read_text() for path in sorted((ROOT / "tests" / "real_envoy").glob("test_edge_*.py"))
)


@pytest.mark.parametrize("attack", told_answers())
def test_each_attack_of_the_table_is_tried(attack):
    assert attack in HTTP1 or attack in HTTP2 or f'"{attack}"' in TESTS


def test_each_kind_of_malformed_request_is_in_the_table_with_its_protocols():
    told = told_answers()
    requests = {*HTTP1, *HTTP2}

    assert {row for row in requests if told[row].http1 != "-"} == set(HTTP1)
    assert {row for row in requests if told[row].http2 != "-"} == set(HTTP2)
