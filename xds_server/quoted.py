"""YAML in which texts of users are always in quotes."""

from __future__ import annotations

from typing import Any

import yaml
from typing_extensions import override


class Quoted(str):
    """Text of a user, always written in quotes: Envoy reads a bare `n` or `1e3` as something else.

    That goes for names of hosts too.
    """

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes `Quoted` in quotes, and everything where it stands."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'),
)


def dump(document: dict[str, Any]) -> str:
    """Return *document* as YAML, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)
