"""How a command tells why an Envoy does not run the current revision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

TOLD = 5


def refusal_lines(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the lines that tell what *nodes* refuse, and why: the same of several is told once."""
    groups: dict[tuple[str, str, str, bool], list[Any]] = {}
    for node in nodes:
        told = node["rejected"] or node["kept_from"]
        what = (told["type_url"], told["resource"], told["registry_place"], "by" in told)
        groups.setdefault(what, []).append(node)
    for group in groups.values():
        who = ", ".join(one_line(node["id"]) for node in group)
        if group[0]["rejected"]:
            verb = "refuses" if len(group) == 1 else "refuse"
            yield from refusal_of(f"{who} {verb}", group[0]["rejected"])
        else:
            verb = "is" if len(group) == 1 else "are"
            yield from refusal_of(f"{who} {verb} not given", group[0]["kept_from"])


def refused_note(nodes: Iterable[Any]) -> str | None:
    """Return what who plans an edit should know of what *nodes* refuse; None if nothing."""
    told = [node["rejected"] or node.get("kept_from") for node in nodes if node["connected"]]
    kinds = sorted({(t["type_url"].rpartition(".")[2], t["resource"]) for t in told if t})
    if not kinds:
        return None
    some = ", ".join(one_line(f"{kind} {name}".strip()) for kind, name in kinds[:TOLD])
    more = f" and {len(kinds) - TOLD} more" if len(kinds) > TOLD else ""
    return f"Envoys refuse a part of what is served now, and run what was before: {some}{more}"


def refusal_of(who_refuses: str, told: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the lines that tell of a refusal *told* by `/status`, after the words *who_refuses*."""
    kind = told["type_url"].rpartition(".")[2]
    elsewhere = f", which {one_line(told['by'])} refused" if "by" in told else ""
    yield f"{who_refuses} {kind} {told['resource'] or '(it does not say which)'}{elsewhere}"
    yield f"  Envoy says: {one_line(told['error_detail'])}"
    if told["registry_place"]:
        yield f"  it comes from {told['registry_place']}"


def lag_lines(node: Any, *, refused_elsewhere: bool) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield how far *node* is with each service of which it has not all."""
    for each in node["types"]:
        if each["converged"]:
            continue
        if each["sent"] != each["acked"]:
            yield f"{each['type']}: sent {each['sent']}, accepted {each['acked'] or 'nothing'}"
        elif refused_elsewhere:
            yield f"{each['type']}: not sent, as long as another Envoy refuses a part of it"
        else:
            yield f"{each['type']}: not sent yet, runs {each['acked']}"


def one_line(text: str) -> str:
    """Return *text*, which another program wrote, such that it changes nothing in a terminal."""
    words = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in words)
