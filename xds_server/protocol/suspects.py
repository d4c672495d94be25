"""Which resources may travel together, while it is being found out which of them is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from snapshots.snapshot import Resource


class Suspects:
    """Resources that were refused together, in words that do not tell which is to blame.

    They are sent again in groups of half the size, until one is refused by itself. With `n` of
    them, each bad one costs about `log2(n)` refusals, and none is kept back that is good.
    """

    def __init__(self) -> None:
        self._group_sizes: dict[str, int] = {}

    def suspect(self, names: Collection[str]) -> None:
        """Record that *names*, more than one, were refused together."""
        self._group_sizes.update(dict.fromkeys(names, len(names) // 2))

    def clear(self, name: str) -> None:
        """Record that *name* is above suspicion, or to blame, or gone."""
        self._group_sizes.pop(name, None)

    def together(self, resources: Iterable[Resource]) -> Iterator[Resource]:
        """Yield the first of *resources* that may travel in one response.

        All of them unless some are suspects, which travel in groups of their own.
        """
        first: int | None = None
        count = 0
        for resource in resources:
            size = self._group_sizes.get(resource.name, 0)
            first = size if first is None else first
            if size != first:
                continue
            yield resource
            count += 1
            if count == first:
                return
