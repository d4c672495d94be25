"""Whether the urgency of models and the limits of their pools fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.problems import Refusal, code

Entries = Mapping[str, object]


def check_priorities(
    pools: Entries, name: str, model: Entries, targets: Mapping[str, int]
) -> Iterator[Refusal]:
    """Yield what is wrong with `priority` of *model*, whose pools are *targets*."""
    if model.get("priority") != "sheddable":
        return
    for target in targets:
        pool = pools.get(target)
        if isinstance(pool, Mapping) and not {"max_requests", "shed_at"} & pool.keys():
            yield Refusal(
                ("models", name, "priority"),
                f"pool {code(target)} is never full, so nothing would be shed",
                f"give pool {code(target)} a max_requests",
            )


def check_budgets(name: str, pool: Entries) -> Iterator[Refusal]:
    """Yield what is wrong with the limits of *pool*, whose name is *name*."""
    shed_at, most = pool.get("shed_at"), pool.get("max_requests")
    if type(shed_at) is int and type(most) is int and shed_at > most:
        yield Refusal(
            ("pools", name, "shed_at"),
            f"more than max_requests, {most}",
            "choose less, so that there is room for what is not shed",
        )
