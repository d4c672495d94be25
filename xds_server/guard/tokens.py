"""Tokens that let their bearers in: a file with one on each line.

Two lines are two tokens, so that one can be replaced while both are good.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from xds_server.guard.followed import FollowedFiles
from xds_server.secrets.judge import judge, now_utc
from xds_server.secrets.problems import Fault

MIN_TOKEN_CHARACTERS = 16
MAX_TOKENS = 100


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """Digests of the tokens that are good."""

    digests: tuple[bytes, ...]

    def holds(self, token: str) -> bool:
        """Return whether *token* is one of them; takes as long whichever it is."""
        shown = sha256(token.encode(errors="surrogateescape")).digest()
        found = False
        for digest in self.digests:
            found |= hmac.compare_digest(digest, shown)
        return found


def token_file(path: Path) -> FollowedFiles[Tokens]:
    """Return the tokens of the file *path*, which are followed."""
    return FollowedFiles([path], lambda contents: _tokens(path, contents))


def bearer(authorization: str) -> str:
    """Return the token of an `authorization` header; empty if it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _tokens(path: Path, contents: Sequence[bytes]) -> Tokens | Fault:
    lines = [line.strip() for line in contents[0].splitlines() if line.strip()]
    if not lines:
        return Fault(f"{path} is empty", "write a token into it, such as of `openssl rand -hex 32`")
    if len(lines) > MAX_TOKENS:
        return Fault(f"{path} has more than {MAX_TOKENS} lines, each of which is a token")
    for number, line in enumerate(lines, start=1):
        if fault := judge("text", line, now_utc()):
            return Fault(f"{path}: token {number} {fault.message}", fault.hint)
        if len(line) < MIN_TOKEN_CHARACTERS:
            return Fault(
                f"{path}: token {number} has less than {MIN_TOKEN_CHARACTERS} characters",
                "take one of `openssl rand -hex 32`",
            )
    return Tokens(tuple(sha256(line).digest() for line in lines))
