"""Whether the fields of each `load_balancing` fit together, and what they ask for can be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.problems import Path, Refusal, code
from snapshots.registry.quantities import parse_size
from snapshots.registry.schema.load_balancing import (
    CHOICES,
    HASHING_POLICIES,
    OVERLOAD,
    POLICIES,
    PREFIX_BYTES,
)

Entries = Mapping[str, object]
_NO_MATTER = (None, PREFIX_BYTES)


def check_affinity(data: Entries) -> Iterator[Refusal]:
    """Yield what is wrong with `load_balancing` of the pools in *data*, of any form."""
    extraction = data.get("extraction")
    native = isinstance(extraction, Mapping) and extraction.get("mode") == "native"
    first: tuple[str, int] | None = None
    for name, entry in _balancings(data):
        place: Path = ("pools", name, "load_balancing")
        yield from _check_options(place, entry)
        if entry.get("key") != "prompt_prefix":
            continue
        if native:
            hint = "the companion reads prompts: write extraction.mode: ext_proc"
            yield Refusal((*place, "key"), "cannot be had with extraction.mode `native`", hint)
        size = _size(entry.get("bytes", PREFIX_BYTES))
        if size is None:
            continue
        first = first or (name, size)
        if size != first[1]:
            subject = f"pool {code(first[0])} has another number"
            hint = "a prompt is read before its pool is known: give all pools the same"
            yield Refusal((*place, *(("bytes",) if "bytes" in entry else ())), subject, hint)


def _check_options(place: Path, entry: Entries) -> Iterator[Refusal]:
    """Yield every field of *entry* that has no effect beside the others."""
    policy, key = entry.get("policy", "least_request"), entry.get("key")
    if key is None:
        if entry.get("overload", OVERLOAD) != OVERLOAD:
            yield Refusal((*place, "overload"), "counts for nothing", "add a `key`")
    elif policy in set(POLICIES) - set(HASHING_POLICIES):
        yield Refusal((*place, "key"), "needs a policy that hashes", "write policy: maglev")
    if isinstance(key, Mapping) and ("header" in key) == ("cookie" in key):
        count = "both" if "header" in key else "neither"
        hint = "give exactly one of them"
        yield Refusal((*place, "key"), f"has {count} of `header` and `cookie`", hint)
    if key != "prompt_prefix" and _size(entry.get("bytes", PREFIX_BYTES)) not in _NO_MATTER:
        yield Refusal((*place, "bytes"), "counts for nothing", "add key: prompt_prefix")
    if policy in set(POLICIES) - {"least_request"} and entry.get("choices", CHOICES) != CHOICES:
        yield Refusal((*place, "choices"), "counts for `least_request` only", "remove it")


def _size(written: object) -> int | None:
    """Return the number of bytes that *written* says, if it says one."""
    try:
        return parse_size(written) if isinstance(written, str) else int(f"{written}")
    except ValueError:
        return None


def _balancings(data: Entries) -> Iterator[tuple[str, Entries]]:
    pools = data.get("pools")
    for name, pool in pools.items() if isinstance(pools, Mapping) else ():
        entry = pool.get("load_balancing") if isinstance(pool, Mapping) else None
        if isinstance(entry, Mapping):
            yield name, entry
