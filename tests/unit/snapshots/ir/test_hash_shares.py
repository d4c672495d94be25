"""Weights of sticky splits: same proportions, always the same sum, borders that stay."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.ir.hash_shares import PARTS, shares_of_hash
from snapshots.registry.schema import MAX_SPLIT_WEIGHT

WEIGHTS = st.lists(st.integers(0, MAX_SPLIT_WEIGHT), min_size=1, max_size=8).filter(any)


@given(WEIGHTS)
def test_the_sum_is_always_the_same_and_each_share_exact_to_a_part(weights):
    shares = shares_of_hash(weights)

    assert sum(shares) == PARTS
    for weight, share in zip(weights, shares, strict=True):
        assert share == pytest.approx(PARTS * weight / sum(weights), abs=1)
        assert share == 0 or weight


@given(WEIGHTS, st.integers(2, 1000))
def test_only_proportions_count(weights, factor):
    assert shares_of_hash([weight * factor for weight in weights]) == shares_of_hash(weights)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([90, 10], [80, 20], 0.10),
        ([9, 1], [80, 20], 0.10),
        ([50, 30, 20], [40, 40, 20], 0.10),  # neighbours
        ([50, 30, 20], [40, 30, 30], 0.20),  # the one between them shifts along
    ],
)
def test_a_changed_weight_moves_borders_only(before, after, moved):
    borders = [list(accumulate(shares_of_hash(weights))) for weights in (before, after)]
    gone = sum(abs(one - other) for one, other in zip(*borders, strict=True))

    assert gone == pytest.approx(moved * PARTS)
