"""A file of tokens, one on each line."""

from __future__ import annotations

import pytest

from xds_server.guard.followed import GuardError
from xds_server.guard.tokens import bearer, token_file

FIRST, SECOND = "a" * 32, "b" * 32


async def read(path, content):
    path.write_bytes(content)
    tokens = token_file(path)
    await tokens.load()
    return tokens.value


async def test_each_line_is_a_token(tmp_path):
    tokens = await read(tmp_path / "tokens", f"{FIRST}\r\n\n{SECOND}".encode())

    assert tokens.holds(FIRST)
    assert tokens.holds(SECOND)


@pytest.mark.parametrize(
    "shown", ["", "a", FIRST[:-1], FIRST + "a", f"{FIRST}\n{SECOND}", "\udcff"]
)
async def test_nothing_else_is_one(tmp_path, shown):
    tokens = await read(tmp_path / "tokens", f"{FIRST}\n{SECOND}\n".encode())

    assert not tokens.holds(shown)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"short\n", "token 1 has less than 16 characters"),
        (FIRST.encode() + b"\n\xff\xfe" + FIRST.encode(), "token 2 is not ASCII text"),
        (b"\n".join([FIRST.encode()] * 101), "more than 100 lines"),
    ],
)
async def test_what_holds_no_good_token_is_refused_without_showing_it(tmp_path, content, reason):
    with pytest.raises(GuardError) as refused:
        await read(tmp_path / "tokens", content)

    assert reason in str(refused.value)
    assert "short" not in str(refused.value)


async def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(GuardError, match="tokens does not exist"):
        await token_file(tmp_path / "tokens").load()


async def test_tokens_are_not_shown_where_they_are_printed(tmp_path):
    tokens = await read(tmp_path / "tokens", FIRST.encode())

    assert str(tokens.digests[0]) not in repr(tokens)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", ""), ("x", ""), ("", "")],
)
def test_a_bearer_token_is_read_from_its_header(header, token):
    assert bearer(header) == token
