"""The answer to `GET /v1/models`: every routable name of a gateway, in OpenAI's shape."""

from __future__ import annotations

import json

from snapshots.ir import model as ir

OWNER = "modelyard"


def build_model_list(gateway: ir.Gateway) -> str:
    """Return the JSON list of the names that *gateway* routes, so it lists nothing else.

    Wildcards are left out: nobody can ask for all that one stands for.
    """
    models = [_entry(route) for route in gateway.routes if not route.is_wildcard]
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
