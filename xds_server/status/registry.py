"""`GET /registry`: the registry that is served, without secrets, for plans and explanations.

It tells which servers, models, clients and gateways there are, and the names of the files and
variables that hold secrets: what an operator may see, and clients may not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from aiohttp import web

PATH = "/registry"


@dataclass(frozen=True, slots=True)
class ServedRegistry:
    """The registry that is served."""

    revision: str
    path: str
    """Of the file."""
    text: bytes


def registry_route(served: Callable[[], ServedRegistry | None]) -> web.RouteDef:
    """Return the route that answers with what *served* returns; 503 while that is None."""
    page = _Page()

    async def registry(_: web.Request) -> web.Response:
        now = served()
        if now is None:
            body = json.dumps({"error": "nothing is served yet"}) + "\n"
            return web.json_response(text=body, status=503)
        return web.json_response(text=await page.of(now))

    return web.get(PATH, registry)


class _Page:
    """Makes the answer when it is asked for, once for each revision."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._of: ServedRegistry | None = None
        self._text = ""

    async def of(self, served: ServedRegistry) -> str:
        async with self._turn:
            if served != self._of:
                # In a thread, so that the streams are served while a large registry is read.
                self._text = await asyncio.to_thread(_render, served)
                self._of = served
            return self._text


def _render(served: ServedRegistry) -> str:
    # Not imported at the start: who goes on with stored state need not wait for it.
    from snapshots.registry.loader import load_registry  # noqa: PLC0415
    from snapshots.registry.public_form import public_form  # noqa: PLC0415

    form = public_form(load_registry(served.text, served.path))
    told = {key: value for key, value in asdict(served).items() if key != "text"}
    return json.dumps({**told, "registry": form}, ensure_ascii=False) + "\n"
