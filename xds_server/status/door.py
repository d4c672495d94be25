"""Who may ask the status interface, and under which names of it.

A name that is not ours is that of somebody else's page: a browser that was led to our address by
it (DNS rebinding) would let that page read our answers.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import structlog
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, Counter

from xds_server.guard.followed import FollowedFiles
from xds_server.guard.tokens import Tokens, bearer, token_file
from xds_server.line_budget import LineBudget
from xds_server.status.newcomers import MAX_NEWCOMERS, Newcomers

log = structlog.get_logger()

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes have no token and no name for us; what is there is a word about this process alone."""

BEARER = 'Bearer realm="modelyard"'
BASIC = 'Basic realm="modelyard: the token as password"'
"""For browsers, which ask a person for the token then and show it from there on."""

NAME_CHARACTERS_SHOWN = 200

HOW_TO_SHOW = (
    "hint: send `Authorization: Bearer TOKEN`, or give TOKEN as the password in a browser; "
    "`serve --status-token-file` names the file of good ones"
)

Kind = Literal["host", "no_token", "wrong_token", "crowded"]
LOGGED: Mapping[Kind, str] = {
    "host": "it asks under a name that is none of --status-host",
    # A browser asks without a token before it asks a person for one: not logged.
    "no_token": "",
    "wrong_token": "it shows a token that is none of --status-token-file",
    "crowded": f"{MAX_NEWCOMERS} connections have not shown that they may ask; the oldest is cut",
}

_HOST = re.compile(r"\[(?P<ipv6>[^\]]*)\](:[0-9]*)?|(?P<name>[^:\[\]]*)(:[0-9]*)?")
_BASIC = re.compile(r"basic +(?P<credentials>[A-Za-z0-9+/=]+) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StatusAccess:
    """How the status interface is guarded."""

    token_file: Path | None = None
    """One token on each line; what is there is wanted of everybody."""
    is_open: bool = False
    """Whether something else keeps strangers away from an address that is not loopback."""
    hosts: tuple[str, ...] = ()
    """Names that it has beside `localhost` and its IP addresses, in lower case."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    kind: Kind
    status: int
    message: str
    challenges: tuple[str, ...] = ()


class StatusDoor:
    """Judges requests by the `Host` and the token that they show.

    *hosts* are names that are allowed beside those of *access*; *metrics* tells of refusals.
    """

    def __init__(
        self,
        access: StatusAccess | None = None,
        hosts: Iterable[str] = (),
        metrics: CollectorRegistry | None = None,
    ) -> None:
        access = access or StatusAccess()
        self._names = {name.lower() for name in ("localhost", *access.hosts, *hosts)}
        self._tokens: FollowedFiles[Tokens] | None = None
        if access.token_file:
            self._tokens = token_file(access.token_file)
        self.newcomers = Newcomers(lambda: self._tell("crowded"))
        self._lines = LineBudget()
        self._refusals = Counter(
            "modelyard_status_refusals",
            "Requests to the status interface that were not answered.",
            ["reason"],
            registry=metrics,
        )
        for kind in LOGGED:
            # A rate over a counter that appears late loses its first step.
            self._refusals.labels(kind)

    async def load(self) -> None:
        """Read the tokens. Raises GuardError if they cannot be used."""
        if self._tokens is not None:
            await self._tokens.load()

    async def follow(self) -> None:
        """Follow the file of tokens until cancelled."""
        if self._tokens is not None:
            await self._tokens.follow()

    def refusal(self, request: web.Request) -> Refusal | None:
        """Return why *request* is not answered, which is counted; None if it is."""
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in OPEN_PATHS:
            self.newcomers.probed(request.transport)
            return None
        refusal = self._foreign(request) or self._stranger(request)
        if refusal is None:
            self.newcomers.let_in(request.transport)
        else:
            self._tell(refusal.kind, request.remote)
        return refusal

    def _foreign(self, request: web.Request) -> Refusal | None:
        shown = request.headers.getall(hdrs.HOST, [])
        if len(shown) == 1 and is_ours(shown[0], self._names):
            return None
        named = ", ".join(shown)[:NAME_CHARACTERS_SHOWN]
        return Refusal(
            "host",
            HTTPStatus.MISDIRECTED_REQUEST,
            f"the status interface is not known as {named!r} (hint: ask by its IP address, "
            "or allow that name by `serve --status-host NAME`)",
        )

    def _stranger(self, request: web.Request) -> Refusal | None:
        if self._tokens is None:
            return None
        token = shown_token(request.headers.getall(hdrs.AUTHORIZATION, []))
        if not token:
            return _unauthorized("no_token", "a token is needed", BEARER, BASIC)
        if self._tokens.value.holds(token):
            return None
        # Where a script of a page asks, its page tells what is to be done. By a challenge the
        # browser would want a token of its user each time, whatever the script does.
        is_page = "text/html" in request.headers.get(hdrs.ACCEPT, "")
        challenges = (BEARER, BASIC) if is_page else (BEARER,)
        return _unauthorized("wrong_token", "this token is not good", *challenges)

    def _tell(self, kind: Kind, peer: str | None = None) -> None:
        self._refusals.labels(kind).inc()
        reason = LOGGED[kind]
        left_out = self._lines.take(kind) if reason else None
        if left_out is not None:
            log.warning("status.request.refused", peer=peer, reason=reason, left_out=left_out)


def _unauthorized(kind: Kind, what: str, *challenges: str) -> Refusal:
    return Refusal(kind, HTTPStatus.UNAUTHORIZED, f"{what} ({HOW_TO_SHOW})", challenges)


def is_ours(host: str, names: Iterable[str]) -> bool:
    """Return whether *host*, as `HOST:PORT`, is an IP address or one of *names*.

    An IP address is nobody's name, so nobody can have led a browser astray by it.
    """
    parts = _HOST.fullmatch(host)
    if parts is None:
        return False
    if parts["ipv6"] is not None:
        return ":" in parts["ipv6"] and _is_address(parts["ipv6"])
    name = parts["name"].lower().removesuffix(".")
    return name in names or _is_address(name)


def shown_token(authorization: Iterable[str]) -> str:
    """Return the token of the `authorization` headers: a bearer's, or the password of Basic."""
    headers = list(authorization)
    if len(headers) != 1:
        return ""
    basic = _BASIC.fullmatch(headers[0])
    if basic is None:
        return bearer(headers[0])
    try:
        credentials = b64decode(basic["credentials"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return credentials.partition(":")[2]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
