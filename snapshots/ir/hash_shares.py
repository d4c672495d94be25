"""How a hash chooses among weights, such that a changed weight moves as few users as can be.

Envoy takes the remainder of the hash by the sum of the weights: the pools lie one behind the other,
each as long as its weight. So the sum is always the same here, that a changed weight moves only the
borders between the pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PARTS: Final = 1_000_000
"""Sum of the weights of every split that is sticky."""


def shares_of_hash(weights: Sequence[int]) -> list[int]:
    """Return *weights* in the same proportions, with the sum PARTS.

    The borders between the pools are rounded, not the shares: a border stays where it was as long
    as the share of all that lies before it does.
    """
    total, before, border = sum(weights), 0, 0
    shares = []
    for weight in weights:
        before += weight
        reached = (before * PARTS + total // 2) // total
        shares.append(reached - border)
        border = reached
    return shares
