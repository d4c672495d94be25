"""The answer to `GET /v1/models`: every routable name of a gateway, in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from snapshots.ir import model as ir
from snapshots.ir.clients import is_allowed

OWNER = "modelyard"


def build_model_list(routes: Iterable[ir.Route]) -> str:
    """Return the JSON list of the names of *routes*.

    Wildcards are left out: nobody can ask for all that one stands for.
    """
    models = [_entry(route) for route in routes if not route.is_wildcard]
    return json.dumps({"object": "list", "data": models}, separators=(",", ":"))


def _entry(route: ir.Route) -> dict[str, str | int]:
    entry: dict[str, str | int] = {
        "id": route.name,
        "object": "model",
        "created": 0,
        "owned_by": OWNER,
    }
    if route.base_model != route.name:
        entry["parent"] = route.base_model
    return entry


def model_lists(gateway: ir.Gateway) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield, for clients that may not use everything, who they are and the list that they see.

    Clients that may use the same have one list together.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for client in gateway.clients:
        if client.models is not None:
            groups.setdefault(client.models, []).append(client.name)
    for clients in groups.values():
        shown = (route for route in gateway.routes if is_allowed(clients[0], route.restriction))
        yield tuple(clients), build_model_list(shown)
