"""`GET /client`: whose key has a certain SHA-256, for `modelyard explain`.

It tells no more than a request with that key would tell, and nothing to whoever has no key. The
digest comes in a header, as paths and queries are kept in logs.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from snapshots.snapshot import Snapshot

PATH = "/client"
DIGEST_HEADER = "x-modelyard-key-sha256"


def client_route(current: Callable[[], Snapshot | None]) -> web.RouteDef:
    """Return the route that answers `{"client": NAME}`, or null, by what *current* returns."""

    async def client(request: web.Request) -> web.Response:
        # Not imported at the start: it needs what reads registries.
        from snapshots.shown_key import client_of  # noqa: PLC0415

        snapshot = current()
        digest = request.headers.get(DIGEST_HEADER, "")
        nodes = snapshot.nodes.values() if snapshot else ()
        found = next((name for node in nodes if (name := client_of(node, digest))), None)
        return web.json_response(text=json.dumps({"client": found}) + "\n")

    return web.get(PATH, client)
