"""The Lua script that knows clients by the digests of their keys, run by LuaJIT."""

from __future__ import annotations

import hashlib
import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa import luajit21

from snapshots.ir.names import CLIENT_HEADER, MAX_KEY_CHARACTERS
from snapshots.resources.scripts import (
    CLIENTS_UNKNOWN_STATUS,
    KEYS_ARE_CHECKED,
    MAX_REMEMBERED_KEYS,
    key_script,
)
from tests.support.lua_filter import LuaFilter, Outcome

KEY = "a-key-of-team-a-0123456789"
CLIENTS = {
    KEYS_ARE_CHECKED: "yes",
    hashlib.sha256(KEY.encode()).hexdigest(): "team-a",
    hashlib.sha256(b"x" * MAX_KEY_CHARACTERS).hexdigest(): "long",
    hashlib.sha256(b"x" * (MAX_KEY_CHARACTERS + 1)).hexdigest(): "too-long",
    hashlib.sha256(b"").hexdigest(): "empty",
}


@cache
def _filter() -> LuaFilter:
    return LuaFilter(key_script())


def run(headers: dict[str, str], clients: dict[str, str] | None = CLIENTS) -> Outcome:
    return _filter().run(None, headers, clients)


@cache
def _sha256():
    lua = luajit21.LuaRuntime(encoding=None)
    return lua.execute(f"{key_script()}\nreturn sha256".encode())


@given(st.binary(max_size=300))
def test_the_digest_is_that_of_sha_256(text):
    assert _sha256()(text).decode() == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 256])
def test_the_digest_is_right_at_the_edges_of_blocks(length):
    text = bytes(range(256))[:length]

    assert _sha256()(text).decode() == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer   {KEY}"},
        {"x-api-key": KEY},
        {"x-api-key": KEY, "authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY, "authorization": "Basic abc"},
    ],
)
def test_a_key_becomes_the_name_of_its_client(headers):
    outcome = run(headers)

    assert outcome.answer is None
    assert not outcome.was_read
    assert outcome.headers == {"authorization": None, "x-api-key": None, CLIENT_HEADER: b"team-a"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY},Bearer {KEY}"},
        {"authorization": f"Bearer {KEY} "},
        {"authorization": f"Bearer {KEY}x"},
        {"x-api-key": f"{KEY},{KEY}"},
        {"x-api-key": KEYS_ARE_CHECKED},
        {"x-api-key": "ü" * 20},
        {"x-api-key": "x" * (MAX_KEY_CHARACTERS + 1)},
        {"x-api-key": KEY, "authorization": "Bearer other-key-0123456789"},
    ],
)
def test_who_shows_no_key_of_a_client_is_refused(headers):
    outcome = run(headers)

    assert outcome.answer is not None
    answer, body = outcome.answer
    assert answer == {
        ":status": "401",
        "content-type": "application/json",
        "www-authenticate": 'Bearer realm="modelyard"',
    }
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert not outcome.headers


def test_the_longest_key_is_looked_at():
    assert run({"x-api-key": "x" * MAX_KEY_CHARACTERS}).headers[CLIENT_HEADER] == b"long"


@pytest.mark.parametrize("clients", [None, {}])
def test_nobody_passes_while_the_clients_are_not_known(clients):
    outcome = run({"authorization": f"Bearer {KEY}"}, clients)

    assert outcome.answer is not None
    assert outcome.answer[0] == {":status": str(CLIENTS_UNKNOWN_STATUS)}
    assert not outcome.headers


def test_a_key_that_was_shown_before_means_what_the_routes_say_now():
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    names = ({digest: name, KEYS_ARE_CHECKED: "yes"} for name in ("before", "after"))

    assert [run({"x-api-key": KEY}, clients).headers[CLIENT_HEADER] for clients in names] == [
        b"before",
        b"after",
    ]
    assert run({"x-api-key": KEY}, {KEYS_ARE_CHECKED: "yes"}).answer is not None
    assert run({"x-api-key": KEY}, {digest: "again", KEYS_ARE_CHECKED: "yes"}).answer is None


def test_more_keys_than_are_remembered_are_all_known():
    keys = [f"key-number-{number:09}" for number in range(2 * MAX_REMEMBERED_KEYS + 1)]
    clients = {hashlib.sha256(key.encode()).hexdigest(): key for key in keys}
    clients[KEYS_ARE_CHECKED] = "yes"

    for _ in range(2):
        for key in keys:
            assert run({"x-api-key": key}, clients).headers[CLIENT_HEADER] == key.encode()
