"""Which Envoys belong to a group."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.node_selector import NodeSelector
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot, Snapshot

PATTERNS = st.text("ab*", min_size=1, max_size=5)
TEXTS = ["".join(letters) for size in range(7) for letters in product("ab", repeat=size)]


def test_all_that_is_said_must_hold():
    selector = NodeSelector("edge", "canary-*", (("zone", "a"),))

    assert selector.matches("edge", "canary-1", {"zone": "a", "rack": "7"})
    assert not selector.matches("inner", "canary-1", {"zone": "a"})
    assert not selector.matches("edge", "a-canary-1", {"zone": "a"})
    assert not selector.matches("edge", "canary-1", {"zone": "b"})
    assert not selector.matches("edge", "canary-1", {})


@pytest.mark.parametrize(
    "selector",
    [
        NodeSelector(),
        NodeSelector("edge"),
        NodeSelector("[edge"),
        NodeSelector("[1, 2, 3]"),
        NodeSelector("12"),
        NodeSelector("edge", "canary-*", (("rack", "7"), ("zone", "ä"))),
    ],
    ids=str,
)
def test_a_selector_can_be_told_by_its_key(selector):
    assert NodeSelector.of_key(selector.key) == selector


@given(PATTERNS, st.sampled_from(TEXTS))
def test_only_the_star_means_more_than_itself(pattern, text):
    assert NodeSelector(node_id=pattern).matches("", text, {}) == fnmatchcase(text, pattern)


@pytest.mark.parametrize("odd", ["a.b", "a?b", "[ab]", "a\nb", "a\\b"])
def test_other_characters_are_themselves(odd):
    assert NodeSelector(node_id=odd).matches("", odd, {})
    assert not NodeSelector(node_id=odd).matches("", "axb", {})
    assert NodeSelector(node_id="a*b").matches("", "a\nb", {})


@given(PATTERNS, PATTERNS)
def test_two_patterns_overlap_if_some_text_matches_both(one, other):
    selectors = [NodeSelector(node_id=pattern) for pattern in (one, other)]
    found = any(all(s.matches("", text, {}) for s in selectors) for text in TEXTS)

    assert selectors[0].overlaps(selectors[1]) == selectors[1].overlaps(selectors[0])
    if found:
        assert selectors[0].overlaps(selectors[1])
    elif len(one) + len(other) <= len(TEXTS[-1]):  # then a common text would be short enough
        assert not selectors[0].overlaps(selectors[1])


def test_other_clusters_and_other_values_do_not_overlap():
    zone_a, zone_b = (NodeSelector("edge", "*", (("zone", zone),)) for zone in "ab")

    assert not NodeSelector("edge").overlaps(NodeSelector("inner"))
    assert not zone_a.overlaps(zone_b)
    assert zone_a.overlaps(NodeSelector("edge", "*", (("rack", "1"),)))
    assert zone_a.overlaps(NodeSelector("*", "x-*"))


def test_the_key_of_a_group_by_cluster_is_the_cluster_and_no_other_group_has_it():
    odd = '["edge", "*", {}]'
    selectors = [
        NodeSelector(),
        NodeSelector("edge"),
        NodeSelector("edge", "x"),
        NodeSelector("edge", "x", (("a", "b"),)),
        NodeSelector(odd),
    ]

    assert [s.key for s in selectors[:2]] == ["*", "edge"]
    assert len({s.key for s in selectors}) == len(selectors)


def test_a_node_is_told_what_its_group_is_told():
    by_more = [NodeSelector("edge", "canary-*"), NodeSelector("lab", "*", (("zone", "a"),))]
    keys = ["inner", *(selector.key for selector in by_more)]
    snapshot = Snapshot.of({key: NodeSnapshot.of(key, {}) for key in keys}, by_more)

    assert snapshot.for_node("edge", "canary-7").gateway == by_more[0].key
    assert snapshot.for_node("lab", "x", {"zone": "a"}).gateway == by_more[1].key
    assert snapshot.for_node("inner", "canary-7").gateway == "inner"
    assert snapshot.for_node("edge", "other") is NO_GATEWAY
    assert snapshot.with_nodes(snapshot.nodes) == snapshot
