"""An OpenAI-compatible model server without a model: every answer says who gave it, and to what.

Each answer carries `x-simulate-server` and `x-simulate-model`; its JSON, or the last chunk of its
stream, has `simulate`: server, model, path, SHA-256 and length of the body as it arrived, and the
`x-gateway-*` headers. So a client can see through any proxy what happened on the way.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from xds_server.address import Address
from xds_server.simulate.answers import Answer, build_answer
from xds_server.simulate.embeddings import embeddings_body
from xds_server.simulate.errors import RefusedError, error_body, unknown_model
from xds_server.simulate.metrics import VllmMetrics
from xds_server.simulate.received import Received, header_text, read_received
from xds_server.simulate.settings import SettingsError, SimulateSettings
from xds_server.simulate.shapes import CHAT, COMPLETION, STREAM_END, Shape, event
from xds_server.simulate.wholes import (
    message_body,
    ranking_body,
    response_body,
    transcription_body,
)

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
STOP_GRACE_S = 1.0
"""How long requests in flight may go on once the server stops."""

Pace = Callable[[float], Awaitable[object]]

WHOLES = {
    "/v1/embeddings": embeddings_body,
    "/v1/responses": response_body,
    "/v1/messages": message_body,
    "/v1/rerank": ranking_body,
    "/v1/audio/transcriptions": transcription_body,
}
"""What is answered whole, and by which function of the request."""


class SimulatedServer:
    """One model server; serves once `running` has given it a port.

    *pace* is called with the seconds to wait before an answer and before each of its words; a
    test that passes its own decides when the next word leaves.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        *,
        model: str,
        name: str | None = None,
        adapters: Iterable[str] = (),
        strict_model: bool = False,
        settings: SimulateSettings | None = None,
        pace: Pace = asyncio.sleep,
    ) -> None:
        self.model = model
        self.name = model if name is None else name
        self.adapters = tuple(adapters)
        self.strict_model = strict_model
        self.settings = settings or SimulateSettings()
        self.requests: Counter[str] = Counter()
        """Requests by route, such as `/v1/chat/completions`; others count as `unknown`."""
        self.last: Received | None = None
        """The newest request whose body could be read."""
        self.metrics = VllmMetrics(model, self.adapters)
        self.address = ""
        """`host:port`, once it runs."""
        self.started_at = int(time.time())
        self._pace = pace
        self._serial = 0

    @property
    def url(self) -> str:
        """Return `http://host:port`; OpenAI's clients want `/v1` behind it."""
        return f"http://{self.address}"

    def app(self) -> web.Application:
        """Return the server as an aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._answer])
        app.on_response_prepare.append(self._sign)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_routes(web.post(path, self._whole) for path in WHOLES)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{id:.+}", self._model)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics_page)
        app.router.add_get("/simulate/settings", self._settings)
        app.router.add_post("/simulate/settings", self._change_settings)
        app.router.add_get("/simulate/requests", self._requests)
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        resource = request.match_info.route.resource
        self.requests["unknown" if resource is None else resource.canonical] += 1
        try:
            return await handler(request)
        except RefusedError as error:
            return web.json_response(error.body, status=error.status, headers=error.headers)
        except web.HTTPException as error:
            body = error_body(f"{error.status} {error.reason}", kind="invalid_request_error")
            allowed = {"allow": error.headers["allow"]} if "allow" in error.headers else None
            return web.json_response(body, status=error.status, headers=allowed)

    async def _sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-simulate-server"] = header_text(self.name)

    async def _receive(self, request: web.Request) -> Received:
        body = await request.read()
        self.last = read_received(request.raw_path, request.raw_headers, body)
        return self.last

    @contextmanager
    def _serving(self, received: Received) -> Iterator[None]:
        """Count *received* as running meanwhile, and let refusals name its model too."""
        try:
            with self.metrics.running(received.model):
                if self.strict_model and received.model not in (None, self.model, *self.adapters):
                    raise unknown_model(str(received.model))
                yield
        except RefusedError as error:
            error.headers = _model_header(received)
            raise

    def _next_serial(self) -> int:
        """Count an answer; RefusedError if it is this one's turn to fail."""
        self._serial += 1
        rate, status = self.settings.fail_rate, self.settings.fail_status
        # Even spread instead of chance: a test can foretell it. The margin undoes rounding.
        if math.floor(self._serial * rate + 1e-9) > math.floor((self._serial - 1) * rate + 1e-9):
            message = f"{self.name} fails on purpose (fail_rate {rate:g})"
            raise RefusedError(status, message, kind="server_error", code="simulated_failure")
        return self._serial

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, CHAT)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, COMPLETION)

    async def _generate(self, request: web.Request, shape: Shape) -> web.StreamResponse:
        received = await self._receive(request)
        with self._serving(received):
            await self._pace(self.settings.latency_s)
            answer = build_answer(
                received,
                server=self.name,
                model=self.model,
                serial=self._next_serial(),
                created=int(time.time()),
                tokens=self.settings.tokens,
            )
            if received.fields.get("stream") is True:
                response = await self._stream(request, answer, shape)
            else:
                await self._pace(self.settings.token_latency_s * answer.completion_tokens)
                response = web.json_response(shape.body(answer), headers=_model_header(received))
        self.metrics.answered(answer.finish_reason, answer.prompt_tokens, answer.completion_tokens)
        return response

    async def _stream(
        self, request: web.Request, answer: Answer, shape: Shape
    ) -> web.StreamResponse:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        response = web.StreamResponse(headers=headers | _model_header(answer.received))
        await response.prepare(request)
        for chunk in shape.openings(answer):
            await response.write(event(chunk))
        for chunk in shape.pieces(answer):
            await self._pace(self.settings.token_latency_s)
            await response.write(event(chunk))
        for chunk in shape.endings(answer, include_usage=_wants_usage(answer.received)):
            await response.write(event(chunk))
        await response.write(STREAM_END)
        await response.write_eof()
        return response

    async def _whole(self, request: web.Request) -> web.Response:
        build = WHOLES[request.path]
        received = await self._receive(request)
        with self._serving(received):
            await self._pace(self.settings.latency_s)
            self._next_serial()
            body = build(received, server=self.name, model=self.model)
        return web.json_response(body, headers=_model_header(received))

    def _cards(self) -> list[dict[str, object]]:
        card = {"object": "model", "created": self.started_at, "owned_by": "modelyard"}
        own: dict[str, object] = {**card, "id": self.model, "root": self.model, "parent": None}
        adapters = (
            {**card, "id": name, "root": name, "parent": self.model} for name in self.adapters
        )
        return [own, *adapters]

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": self._cards()})

    async def _model(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        card = next((card for card in self._cards() if card["id"] == wanted), None)
        if card is None:
            raise unknown_model(wanted)
        return web.json_response(card)

    async def _health(self, _request: web.Request) -> web.Response:
        await self._pace(self.settings.health_latency_s)
        return web.Response(status=200 if self.settings.healthy else 503)

    async def _metrics_page(self, _request: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.metrics.page(), headers=headers)

    async def _settings(self, _request: web.Request) -> web.Response:
        return web.json_response(self.settings.model_dump())

    async def _change_settings(self, request: web.Request) -> web.Response:
        try:
            self.settings = self.settings.changed(json.loads(await request.read()))
        except SettingsError as error:
            raise RefusedError(400, f"Nothing was changed. {error}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise RefusedError(400, "The body is not a JSON object", code="invalid_json") from error
        return web.json_response(self.settings.model_dump())

    async def _requests(self, _request: web.Request) -> web.Response:
        last = None if self.last is None else self.last.report(self.name)
        return web.json_response({"requests": dict(self.requests), "last": last})


def _model_header(received: Received) -> dict[str, str]:
    return {} if received.model is None else {"x-simulate-model": header_text(received.model)}


def _wants_usage(received: Received) -> bool:
    options = received.fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


@asynccontextmanager
async def running(
    server: SimulatedServer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grace_s: float = STOP_GRACE_S,
) -> AsyncIterator[SimulatedServer]:
    """Serve *server* on *host* and *port* (0: any that is free) meanwhile; OSError if it is taken.

    At the end requests in flight have *grace_s* seconds to finish.
    """
    runner = web.AppRunner(
        server.app(),
        access_log=None,
        # A client that goes away stops its answer, as in a real server.
        handler_cancellation=True,
        # The digest is of the bytes as they arrived.
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=grace_s,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        server.address = str(Address(*runner.addresses[0][:2]))
        yield server
    finally:
        await runner.cleanup()
