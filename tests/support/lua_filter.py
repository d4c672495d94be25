"""A script of Envoy's Lua filter, run by LuaJIT without an Envoy around it.

The handle is as strict as Envoy's: what it lent before the body was waited for is gone after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lupa import luajit21

HARNESS = rb"""
local function lent(methods, is_over)
  return setmetatable({}, {__index = function(_, name)
    assert(not is_over(), "used after the body was waited for")
    return methods[name]
  end})
end

function run(bytes, headers, context)
  local waited, changed, seen = false, {}, {}
  local function never() return false end
  local handle = {}
  function handle:filterContext()
    if not context then return nil end
    local function get(_, key) return context[key] end
    return lent({get = get}, function() return waited end)
  end
  function handle:headers()
    local before = waited
    local function get(_, name) return headers[name] end
    local function replace(_, name, value) changed[name] = value end
    local function remove(_, name) changed[name] = false end
    local methods = {get = get, replace = replace, remove = remove}
    return lent(methods, function() return waited ~= before end)
  end
  function handle:body()
    waited = true
    if not bytes then return nil end
    return lent({
      length = function() return #bytes end,
      getBytes = function(_, from, length) return bytes:sub(from + 1, from + length) end,
      setBytes = function(_, new) seen.body = new; return #new end,
    }, never)
  end
  function handle:clearRouteCache() seen.chosen_anew = true end
  function handle:respond(headers, body)
    assert(not seen.answer, "answered twice")
    seen.answer = {headers, body}
  end
  envoy_on_request(handle)
  return seen.body, changed, waited, seen.chosen_anew, seen.answer
end
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script did with one request."""

    body: bytes | None = None
    """The new body; None: as it was."""
    headers: Mapping[str, bytes | None] = field(default_factory=dict)
    """Those that were set, or removed (None)."""
    was_read: bool = False
    """Whether the body was waited for."""
    chosen_anew: bool = False
    """Whether the route cache was cleared."""
    answer: tuple[Mapping[str, str], bytes] | None = None
    """Headers and body of the answer in place of the request's journey, if there is one."""


class LuaFilter:
    """One script in a Lua state of its own."""

    def __init__(self, script: str) -> None:
        self._lua: Any = luajit21.LuaRuntime(encoding=None)
        self._lua.execute(script.encode())
        self._lua.execute(HARNESS)

    def run(
        self,
        body: bytes | None,
        headers: Mapping[str, str],
        context: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Let a request pass: `body` None if it has none, `context` None if its route has none."""
        new_body, changed, was_read, anew, answer = self._lua.globals().run(
            body, self._table(headers), None if context is None else self._table(context)
        )
        return Outcome(
            body=new_body,
            headers={name.decode(): value or None for name, value in changed.items()},
            was_read=was_read,
            chosen_anew=bool(anew),
            answer=answer and (_text(answer[1]), answer[2]),
        )

    def _table(self, pairs: Mapping[str, str]) -> Any:
        return self._lua.table_from({k.encode(): v.encode() for k, v in pairs.items()})


def _text(table: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in table.items()}
