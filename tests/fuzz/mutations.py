"""Damaged bodies: bytes changed, pieces moved, tokens put where they do not belong.

The same seed gives the same bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.grammar import form_body, json_body
from tests.support.corpus import CASES
from tests.support.corpus_multipart import BOUNDARY, FORM

MAX_SEED_BYTES = 4000

JSON_TOKENS = (
    *(
        b'"model"',
        b'"model":',
        b'"model":"llama"',
        b',"model":"llama"',
        b'"mod\\u0065l":',
        b'"llama"',
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"',
        b"\\",
        b"\\\\",
        b'\\"',
        b"\\u",
        b"\\u00",
        b"\\ud83d",
    ),
    *(
        b"\\ude00",
        b"\\n",
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\f",
        b"\v",
        b"\0",
        b"\x1f",
        b"\x7f",
        b"/*",
        b"//",
    ),
    *(
        b"true",
        b"false",
        b"null",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"-",
        b"+",
        b"0",
        b"01",
        b"1.",
    ),
    *(
        b".5",
        b"1e",
        b"1E+5",
        b"-0",
        b"9" * 4300,
        b"9" * 4301,
        b"[" * 499,
        b"]" * 499,
        b'{"":' * 200,
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xc3\xbc",
        b"\xc3",
        b"\x80",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xc2\x85",
    ),
    *(b"\xe3\x80\x80", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\x8b"),
)
EDGE = b"--" + BOUNDARY.encode()
FORM_TOKENS = (
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b"--", EDGE, b"\r\n" + EDGE, b"\r\n" + EDGE + b"--\r\n"),
    *(
        b"\r\n" + EDGE + b"\r\n",
        b";",
        b"=",
        b'"',
        b"\\",
        b" ",
        b"\t",
        b":",
        b"*",
        b"\0",
        b"\xff",
        b"\v",
    ),
    *(
        b'name="model"',
        b"name=model",
        b"; name=model",
        b'; filename="a"',
        b"; filename*0=a",
        b"name*=a",
    ),
    *(b"form-data", b"Content-Disposition: form-data; name=model\r\n", b"Content-Disposition: "),
    *(
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"X: y\r\n",
    ),
    *(b"llama", b"other", b"\xe3\x80\x80"),
)
TYPE_TOKENS = (
    *(
        b";",
        b"=",
        b'"',
        b"\\",
        b" ",
        b"\t",
        b"boundary",
        b"boundary*=b",
        b"; boundary=b",
        b"a=b",
        b",",
    ),
    *(b"multipart/form-data", b"; boundary=" + BOUNDARY.encode(), b"--", b"\xc3\xbc", b"/"),
)
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|.', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mutant:
    """What a client sends."""

    body: bytes
    content_type: bytes
    path: str = "/v1/chat/completions"


SEEDS = tuple(
    Mutant(case.body, case.content_type.encode(), case.path)
    for case in CASES
    if len(case.body) <= MAX_SEED_BYTES
)


class Mutator:
    """An endless source of mutants."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def mutant(self) -> Mutant:
        """Return a body of the corpus or a new one, with a few changes or none."""
        seed = self._seed()
        is_form = seed.content_type.startswith(b"multipart")
        tokens = FORM_TOKENS if is_form else JSON_TOKENS
        body, content_type = seed.body, seed.content_type
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 4))):
            change = self._random.choice(CHANGES)
            body = change(self._random, body, tokens)
        if is_form and self._random.random() < 0.1:
            content_type = insert(self._random, content_type, TYPE_TOKENS)
        elif self._random.random() < 0.02:
            content_type = self._random.choice([FORM.encode(), b"", b"application/json"])
        return Mutant(body, content_type, seed.path)

    def _seed(self) -> Mutant:
        kind = self._random.random()
        if kind < 0.5:
            return self._random.choice(SEEDS)
        if kind < 0.85:
            return Mutant(json_body(self._random), b"application/json")
        return Mutant(form_body(self._random), FORM.encode(), "/v1/audio/transcriptions")


Change = Callable[[Random, bytes, Sequence[bytes]], bytes]


def flip(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Change one bit."""
    if not body:
        return body
    at = random.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << random.randrange(8)]) + body[at + 1 :]


def insert(random: Random, body: bytes, tokens: Sequence[bytes]) -> bytes:
    """Put a token somewhere."""
    at = random.randint(0, len(body))
    return body[:at] + random.choice(tokens) + body[at:]


def overwrite(random: Random, body: bytes, tokens: Sequence[bytes]) -> bytes:
    """Write a token over what is there."""
    at = random.randint(0, len(body))
    token = random.choice(tokens)
    return body[:at] + token + body[at + len(token) :]


def remove(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Take a few bytes out."""
    start, length = random.randint(0, len(body)), random.choice((1, 1, 2, 8, 64))
    return body[:start] + body[start + length :]


def cut(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Keep the first bytes only."""
    return body[: random.randint(0, len(body))]


def repeat(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Put a piece of the body in a second time, somewhere."""
    start, end = sorted(random.randint(0, len(body)) for _ in range(2))
    at = random.randint(0, len(body))
    return body[:at] + body[start:end] + body[at:]


def splice(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Go on with the end of another body."""
    other = random.choice(SEEDS).body
    return body[: random.randint(0, len(body))] + other[random.randint(0, len(other)) :]


def merge(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Join the members of two objects, or the parts of two forms, so that the result may be one."""
    other = random.choice(SEEDS).body
    if body.endswith(b"}") and other.startswith(b"{"):
        return body[:-1] + b"," + other[1:]
    if body.startswith(EDGE) and other.startswith(EDGE):
        return body[: body.rfind(EDGE)] + other
    return body


def change_token(random: Random, body: bytes, tokens: Sequence[bytes]) -> bytes:
    """Leave a token out, double it, exchange it with another, or write one of *tokens* for it."""
    found = TOKEN.findall(body)
    if not found:
        return body
    at, other = random.randrange(len(found)), random.randrange(len(found))
    kind = random.randrange(4)
    if kind == 0:
        del found[at]
    elif kind == 1:
        found.insert(at, found[at])
    elif kind == 2:
        found[at], found[other] = found[other], found[at]
    else:
        found[at] = random.choice(tokens)
    return b"".join(found)


CHANGES: tuple[Change, ...] = (
    *(flip, insert, overwrite, remove, cut, repeat, splice, merge, merge),
    *(change_token, change_token, change_token),
)
