"""How a command tells that an Envoy refuses something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def refusal_lines(who: str, rejected: Any) -> Iterator[str]:  # noqa: ANN401 - JSON of a status
    """Yield the lines that tell that the Envoy *who* has *rejected* something, and why."""
    kind = rejected["type_url"].rpartition(".")[2]
    yield f"{who} refuses {kind} {rejected['resource'] or '(it does not say which)'}"
    yield f"  Envoy says: {one_line(rejected['error_detail'])}"
    if rejected["registry_place"]:
        yield f"  it comes from {rejected['registry_place']}"


def one_line(text: str) -> str:
    """Return *text*, which another program wrote, such that it changes nothing in a terminal."""
    words = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in words)
