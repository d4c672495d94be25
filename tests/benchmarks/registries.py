"""Registry files of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Servers = Callable[[int], Sequence[str]]


def elsewhere(index: int) -> tuple[str, str]:
    """Return two addresses for the pool *index*, at which nobody listens."""
    low, high = index % 250 + 1, index // 250
    return f"10.1.{high}.{low}:8000", f"10.2.{high}.{low}:8000"


def crowd(
    models: int, servers: Servers = elsewhere, *, first_weight: int = 50, more: str = ""
) -> dict[str, list[str]]:
    """Return lines by section of *models* models, each with a pool of its own.

    Each model splits its requests between its own pool and the next one, both of which rewrite the
    model's name. *first_weight* is the weight of the first model's own pool; *more* is written into
    every pool.
    """
    pools, lines = [], []
    for index in range(models):
        addresses = ", ".join(servers(index))
        entries = f"endpoints: [{addresses}], model: org/model-{index}{more}"
        pools.append(f"  pool-{index:05}: {{{entries}}}")
        weight = first_weight if index == 0 else 50
        split = {f"pool-{index:05}": weight, f"pool-{(index + 1) % models:05}": 50}
        lines.append(f"  model-{index:05}: {{split: {_flow(split)}}}")
    return {"pools": pools, "models": lines}


def registry(
    sections: Mapping[str, Sequence[str]], *, listen: str = "127.0.0.1:0", mode: str = "ext_proc"
) -> str:
    """Return the text of a registry file with *sections*, for one gateway on *listen*."""
    lines = [
        "version: 1",
        f"gateways: {{default: {{listen: '{listen}'}}}}",
        f"extraction: {{mode: {mode}}}",
    ]
    for name, entries in sections.items():
        lines += [f"{name}:", *entries]
    return "\n".join(lines) + "\n"


def _flow(entries: Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
