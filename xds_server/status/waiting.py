"""`GET /wait`: answers once the fleet has taken a revision, or refused it, or time is up.

The revision is that of the files as they are when it is answered, unless one is given: a client
that has just saved the file need not know when the control plane notices.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

from aiohttp import web

from xds_server.bell import Bell
from xds_server.status.verdict import Asked, Verdict, judge
from xds_server.status.views import StatusView
from xds_server.status.web import json_answer

PATH = "/wait"

MAX_WITHIN_S = 30.0
"""A client that waits longer asks again."""

LOOK_AGAIN_S = 0.05
"""How often is looked at what rings no bell: the files."""

EFFORT = 0.1
"""The part of the time that may be spent on looking: a large fleet is looked at less often."""

REFUSAL_GRACE_S = 1.0
"""How long the others are waited for once a node has refused."""


class Waiting:
    """Answers those who wait; *view* and *has_read_all* are asked, *changed* rings in between.

    `has_read_all` tells whether the control plane has dealt with all that the files hold now.
    """

    def __init__(
        self,
        view: Callable[[], StatusView],
        has_read_all: Callable[[], Awaitable[bool]],
        changed: Bell,
    ) -> None:
        self._view = view
        self._has_read_all = has_read_all
        self._changed = changed
        self._closing = False

    def route(self) -> web.RouteDef:
        """Return the route; its queries are `revision`, `nodes` and `within` (seconds)."""

        async def wait(request: web.Request) -> web.Response:
            try:
                asked, within_s = _read_query(request)
            except ValueError as error:
                return json_answer({"error": str(error)}, status=400)
            return json_answer(await self.verdict(asked, within_s))

        return web.get(PATH, wait)

    def close(self) -> None:
        """Let everybody who waits have the verdict as it is."""
        self._closing = True
        self._changed.ring()

    async def verdict(self, asked: Asked, within_s: float) -> Verdict:
        """Return the first verdict that is final, or what there is after *within_s* seconds."""
        started = perf_counter()
        refused_at: float | None = None
        read = False
        while True:
            looked_at = perf_counter()
            verdict = judge(self._view(), asked, read=read)
            if asked.revision is None and (not read or verdict.outcome != "pending"):
                # The file may have been saved once more. Nothing is awaited between the reading
                # and the judging, so that both speak of the same moment.
                read = await self._has_read_all()
                verdict = judge(self._view(), asked, read=read)
            now = perf_counter()
            if verdict.refusing.count and refused_at is None:
                refused_at = now
            if verdict.outcome == "pending" and _is_hopeless(verdict, asked, now, refused_at):
                verdict = replace(verdict, outcome="refused")
            if verdict.outcome != "pending" or self._closing or now - started >= within_s:
                return verdict
            await self._pause(now - looked_at, started + within_s - now)

    async def _pause(self, effort_s: float, left_s: float) -> None:
        least = effort_s / EFFORT
        await asyncio.sleep(min(least, left_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(LOOK_AGAIN_S, left_s)):
                await self._changed.heard()


def _is_hopeless(verdict: Verdict, asked: Asked, now: float, refused_at: float | None) -> bool:
    """Tell whether somebody refused, enough cannot take it any more, and the rest had its time."""
    if not verdict.refusing.count or refused_at is None or now - refused_at < REFUSAL_GRACE_S:
        return False
    if asked.revision not in (None, verdict.revision) or not (verdict.read or asked.revision):
        return False
    return asked.nodes is None or verdict.converged + verdict.behind.count < asked.nodes


def _read_query(request: web.Request) -> tuple[Asked, float]:
    """Return what *request* asks and for how many seconds; ValueError if it cannot be read."""
    query = request.query
    unknown = sorted(set(query) - {"revision", "nodes", "within"})
    if unknown:
        raise ValueError(f"there is no {unknown[0]}; there are revision, nodes and within")
    revision, nodes, within = query.get("revision"), query.get("nodes"), query.get("within", "0")
    if nodes is not None and not re.fullmatch("[0-9]{1,6}", nodes):
        raise ValueError(f"nodes must be a number, not {nodes!r}")
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", within):
        raise ValueError(f"within must be seconds, not {within!r}")
    asked = Asked(revision, None if nodes is None else int(nodes))
    return asked, min(float(within), MAX_WITHIN_S)
