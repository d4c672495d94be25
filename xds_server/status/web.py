"""The status interface over HTTP: read-only routes over the views.

Does not listen: see `xds_server.app`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import fields
from hashlib import sha256
from importlib import resources
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from xds_server.status.door import StatusDoor
from xds_server.status.views import StatusView

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS_HEADERS = {hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4}
CAREFUL_HEADERS = {
    hdrs.SERVER: "modelyard",  # and not what it is made with
    hdrs.CACHE_CONTROL: "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Other pages may neither frame an answer nor load it as an image or script of theirs.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # The page has another, which allows it its own script and style.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer, whatever it is."""


def _dumps(body: object) -> str:
    text = json.dumps(body, ensure_ascii=False, default=_fields_of)
    return text + "\n"  # so that a terminal's prompt starts a line


def _fields_of(view: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return what `asdict` would, without a copy of all that is within: a fleet may be large."""
    return {field.name: getattr(view, field.name) for field in fields(view)}


def status_app(
    view: Callable[[], StatusView],
    is_ready: Callable[[], bool],
    metrics: CollectorRegistry,
    *more: web.RouteDef,
    door: StatusDoor | None = None,
) -> web.Application:
    """Return the application that answers with what *view*, *is_ready* and *metrics* tell.

    Without a *door*, everybody is answered who asks by an IP address or as `localhost`.
    """
    page, page_headers = _page()

    async def status(_: web.Request) -> web.Response:
        return json_answer(view())

    async def readyz(_: web.Request) -> web.Response:
        if is_ready():
            return json_answer({"status": "ready"})
        return json_answer({"status": "not ready"}, status=503)

    async def metrics_text(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics), headers=METRICS_HEADERS)

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers=page_headers)

    guard = _past(door or StatusDoor())
    app = web.Application(middlewares=[_careful_headers, guard, _errors_in_json])
    app.add_routes(
        [
            web.get("/", index),
            web.get("/status", status),
            web.get("/healthz", _healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics_text),
            *more,
        ]
    )
    return app


async def _healthz(_: web.Request) -> web.Response:
    return json_answer({"status": "alive"})


def json_answer(body: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - what JSON can hold
    """Return an answer with *body*: what JSON can hold, and dataclasses of that."""
    return web.json_response(body, status=status, dumps=_dumps)


@web.middleware
async def _errors_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = json_answer({"error": f"{request.method} is not allowed; use GET"}, error.status)
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound as error:
        paths = "/, /status, /wait, /registry, /client, /healthz, /readyz, /metrics"
        return json_answer(
            {"error": f"nothing is at {request.path}; there are {paths}"}, error.status
        )


def _past(door: StatusDoor) -> Middleware:
    """Return what answers those whom *door* refuses, so that they do not learn what there is."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = door.refusal(request)
        if refusal is None:
            return await handler(request)
        response = json_answer({"error": refusal.message}, refusal.status)
        for challenge in refusal.challenges:
            response.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
        return response

    return refuse


@web.middleware
async def _careful_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    for name, value in CAREFUL_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _page() -> tuple[str, dict[str, str]]:
    """Return the page and headers that allow it its own script and style, and nothing else."""
    files = resources.files(__package__)
    text, script, style = (
        files.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "js", "css")
    )
    text = text.replace("<style></style>", f"<style>{style}</style>")
    text = text.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_hash_of(script)}; style-src {_hash_of(style)}; "
        "connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, {"Content-Security-Policy": policy}


def _hash_of(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
