"""Whether what pools show to their servers fits in: each has one secret, and its pool exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.problems import Path, Refusal, Suggestions, code

Entries = Mapping[str, object]

VALUE_FIELDS = ("value_file", "value_env")


def check_upstream(data: Entries, suggestions: Suggestions) -> Iterator[Refusal]:
    """Yield what is wrong with `auth.upstream` in *data*."""
    auth, pools = data.get("auth"), data.get("pools")
    upstream = auth.get("upstream") if isinstance(auth, Mapping) else None
    known = pools if isinstance(pools, Mapping) else {}
    for pool, shown in upstream.items() if isinstance(upstream, Mapping) else ():
        place: Path = ("auth", "upstream", pool)
        if pool not in known:
            hint = suggestions.hint(pool, known, "add it under `pools`")
            yield Refusal(place, "no pool has this name", hint)
        if isinstance(shown, Mapping):
            yield from _check_value(place, shown)


def _check_value(place: Path, shown: Entries) -> Iterator[Refusal]:
    given = [field for field in VALUE_FIELDS if field in shown]
    if len(given) != 1:
        count = "both" if given else "neither"
        fields = " and ".join(map(code, VALUE_FIELDS))
        yield Refusal(place, f"has {count} of {fields}", "give exactly one of them")
