"""The Lua script that reads the model's name, run by LuaJIT without an Envoy around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from snapshots.ir.names import MODEL_HEADER, NO_MODEL
from snapshots.resources.scripts import extraction_script
from tests.support.lua_filter import LuaFilter, Outcome

JSON_HEADERS = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A name, or what the client is told in its place."""

    name: str | None = None
    status: int = 200
    code: str | None = None
    message: str | None = None


@cache
def _filter() -> LuaFilter:
    return LuaFilter(extraction_script())


def run(body: bytes | None, headers: dict[str, str] = JSON_HEADERS) -> Outcome:
    """Let a request with *body* pass whose model nobody has named."""
    return _filter().run(body, {MODEL_HEADER: NO_MODEL, **headers})


def extract(body: bytes | None, content_type: str = "application/json") -> Verdict:
    """Return what the script makes of *body*."""
    outcome = run(body, {"content-type": content_type})
    assert outcome.body is None
    if outcome.answer is None:
        assert outcome.chosen_anew
        assert set(outcome.headers) == {MODEL_HEADER}
        return Verdict(outcome.headers[MODEL_HEADER].decode())
    headers, answer = outcome.answer
    assert not outcome.chosen_anew
    assert not outcome.headers
    assert set(headers) == {":status", "content-type"}
    assert headers["content-type"] == "application/json"
    error = json.loads(answer.decode("utf-8"))["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return Verdict(None, int(headers[":status"]), error["code"], error["message"])
