"""The Lua that Envoy runs: sources of this package, put together to one script for each filter.

The names and limits that a script needs stand before it as locals, so that the scripts and the
rest of the project cannot disagree. Comments and indentation are left out: the script of the
rewrite is part of every cluster that has one.

Source: "Lua" under HTTP filters in Envoy's docs, read at 1.40; the language is LuaJIT's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from snapshots.ir import names
from snapshots.ir.refusals import MAX_ECHOED_CHARACTERS, REFUSALS, RefusalCode, error_object

MAX_DEPTH = 500
"""Levels of nesting in a body; the companion takes as many at least."""

MAX_REMEMBERED_KEYS = 1000
"""Of clients, by each of Envoy's threads."""
KEYS_ARE_CHECKED = "checked"
"""The entry of a filter context that stands beside the digests of keys."""
TAKES_OVER = "takes_over"
"""The metadata of routes that take the requests by a model's aliases and paths."""
INVALID_KEY = {
    "error": {
        "message": (
            "The API key is missing or not the key of a client. Send it as "
            "`Authorization: Bearer KEY` or as `x-api-key: KEY`."
        ),
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}

CLIENTS_UNKNOWN_STATUS = 511
"""What the script of the keys answers before it knows of clients; the local replies word it."""

LuaValue = str | int | Mapping[str, "LuaValue"] | list["LuaValue"]


@cache
def extraction_script(default_model: str = "") -> str:
    """Return the script that names the model of a request, or refuses the request.

    With a *default_model*, that is the model of a body which has no `model`.
    """
    constants: dict[str, LuaValue] = {
        "MODEL_HEADER": names.MODEL_HEADER,
        "NO_MODEL": names.NO_MODEL,
        "MAX_DEPTH": MAX_DEPTH,
        "MAX_NAME_BYTES": names.MAX_NAME_BYTES,
        "MAX_ECHOED_CHARACTERS": MAX_ECHOED_CHARACTERS,
        "SPACES": dict.fromkeys(names.WHITE_SPACE, 1),
        "REFUSALS": {code: _refusal(code) for code in REFUSALS},
    }
    script = _locals(constants) + _sources("json_text", "form_data", "extract_model")
    if default_model:
        script += _locals({"DEFAULT_MODEL": default_model}) + _sources("default_model")
    return script


@cache
def wildcard_script() -> str:
    """Return the script that finds the wildcard of a name that has no route."""
    constants = {
        "MODEL_HEADER": names.MODEL_HEADER,
        "NO_MODEL": names.NO_MODEL,
        "WILDCARD_FILTER": names.WILDCARD_FILTER,
        "REQUESTED_NAME": names.REQUESTED_NAME,
    }
    return _locals(constants) + _sources("wildcards")


@cache
def hand_over_script() -> str:
    """Return the script that gives a request to the routes of another name."""
    constants = {
        "MODEL_HEADER": names.MODEL_HEADER,
        "WILDCARD_FILTER": names.WILDCARD_FILTER,
        "REQUESTED_NAME": names.REQUESTED_NAME,
        "TAKES_OVER": TAKES_OVER,
    }
    return _locals(constants) + _sources("hand_over")


@cache
def rewrite_script() -> str:
    """Return the script that writes the name that a pool expects into the body."""
    return _sources("json_text", "form_data", "rewrite_model")


@cache
def mount_script() -> str:
    """Return the script that changes path and host for a pool's servers."""
    constants = {
        "CLIENT_PATH_HEADER": names.CLIENT_PATH_HEADER,
        "CLIENT_HOST_HEADER": names.CLIENT_HOST_HEADER,
    }
    return _locals(constants) + _sources("mount")


def free_pool_script(
    chains: Mapping[str, list[list[str | int]]], default: str, *, shed: str = ""
) -> str:
    """Return the script that chooses the first cluster with room of one of *chains*.

    They go by the cluster that a split chose; where it chose none, *default* is the one. *shed* is
    what to choose where none has room; the last one without it.
    """
    constants: dict[str, LuaValue] = {
        "FIRST_POOL_HEADER": names.FIRST_POOL_HEADER,
        "DEFAULT": default,
        "CHAINS": {first: [[*entry] for entry in chain] for first, chain in chains.items()},
    }
    if shed:
        constants["SHED"] = shed
    return _locals(constants) + _sources("free_pool")


@cache
def key_script() -> str:
    """Return the script that lets only clients with a key pass."""
    headers: dict[str, LuaValue] = {
        ":status": "401",
        "content-type": "application/json",
        "www-authenticate": 'Bearer realm="modelyard"',
    }
    constants: dict[str, LuaValue] = {
        "CLIENT_HEADER": names.CLIENT_HEADER,
        "CHECKED": KEYS_ARE_CHECKED,
        "MAX_KEY_CHARACTERS": names.MAX_KEY_CHARACTERS,
        "MAX_REMEMBERED": MAX_REMEMBERED_KEYS,
        "REFUSAL": [headers, json.dumps(INVALID_KEY)],
        "NOT_READY": {":status": str(CLIENTS_UNKNOWN_STATUS)},
    }
    return _locals(constants) + _sources("sha256", "client_keys")


def _sources(*modules: str) -> str:
    folder = files("snapshots.resources").joinpath("lua")
    return "".join(
        _condensed(folder.joinpath(f"{module}.lua").read_text(encoding="utf-8"))
        for module in modules
    )


def _condensed(source: str) -> str:
    """Return *source* without comments and indentation; no string of ours holds ` -- `."""
    lines = (re.sub(r"(^| )-- .*|^--$", "", line.strip()).rstrip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _refusal(code: RefusalCode) -> list[LuaValue]:
    """Return what refuses by *code*: status, and the body before and behind the detail."""
    before, behind = json.dumps(error_object(code, "\0")).split(r"\u0000")
    return [str(REFUSALS[code].status), before, behind]


def _locals(constants: Mapping[str, LuaValue]) -> str:
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


def _lua(value: LuaValue) -> str:
    """Return *value* as a Lua expression of ASCII characters."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(_lua_byte(byte) for byte in value.encode())}"'
    if isinstance(value, list):
        return f"{{{', '.join(_lua(item) for item in value)}}}"
    return f"{{{', '.join(f'[{_lua(key)}] = {_lua(item)}' for key, item in value.items())}}}"


def _lua_byte(byte: int) -> str:
    character = chr(byte)
    if character in {'"', "\\"}:
        return f"\\{character}"
    return character if character.isascii() and character.isprintable() else f"\\{byte:03}"
