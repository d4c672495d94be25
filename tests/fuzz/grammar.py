"""Bodies made from scratch: mostly well-formed, and mostly about `model`."""

from __future__ import annotations

import json
from random import Random

from tests.support.corpus_multipart import BOUNDARY, FILE, FORMAT, LLAMA, MODEL, OTHER, form, part

NAMES = (
    *(
        "llama",
        "llama",
        "llama",
        "other",
        "",
        " ",
        "-",
        "a b",
        " a",
        "a ",
        "模型",
        "😀",
        "\u3000",
        "\x85",
    ),
    *(
        "a\x00b",
        "\x7f",
        "\ud800",
        "\udc00\ud800",
        "x" * 256,
        "ü" * 129,
        "\u200b",
        "\u2028",
        '"',
        "\\",
    ),
)
KEYS = (
    "model",
    "model",
    "model",
    "Model",
    "models",
    "messages",
    "",
    "\ud800",
    "mode",
    "model ",
    "ü",
)
NUMBERS = (
    *("0", "-0", "1", "4.5", "-1.5E+10", "1e999", "NaN", "Infinity", "-Infinity", "1" * 4300),
    *("01", "1.", ".5", "1e", "-", "+1", "1" * 4301, "-NaN"),
)
SPACES = ("", "", "", " ", "\n", "\r\n\t", "  ")
HEADERS = (
    *(
        MODEL,
        MODEL,
        MODEL,
        FILE,
        MODEL + b"; a=b",
        MODEL.lower(),
        MODEL.replace(b'"', b""),
        b"X-Y: z",
    ),
    *(MODEL + b'; filename=""', b"Content-Type: text/plain", b"Content-Transfer-Encoding: 7bit"),
)


def json_body(random: Random) -> bytes:
    """Return an object; one in a few is not well-formed."""
    text = _object(random, levels=3)
    return _space(random, text).encode("utf-8", "backslashreplace")


def form_body(random: Random) -> bytes:
    """Return a form; some are not well-formed."""
    ready = (LLAMA, LLAMA, OTHER, FORMAT)
    parts = [
        random.choice(ready) if random.random() < 0.5 else _part(random)
        for _ in range(random.randint(0, 4))
    ]
    before = random.choice((b"", b"", b"\r\n", b"a\r\n", b"\n", f"--{BOUNDARY}".encode()))
    end = random.choice((b"--", b"--\r\n", b"--\r\na", b"\r\n", b"-", b"--\n"))
    if random.random() < 0.7:
        before, end = b"", b"--\r\n"
    return form(*parts, before=before, end=end)


def _part(random: Random) -> bytes:
    headers = random.sample(HEADERS, random.randint(1, 2))
    return part(random.choice(NAMES).encode("utf-8", "surrogatepass"), *headers)


def _object(random: Random, levels: int) -> str:
    members = []
    for _ in range(random.choice((0, 1, 1, 2, 2, 3, 5))):
        key = random.choice(KEYS)
        value = _string(random, random.choice(NAMES))
        if key != "model" or random.random() < 0.15:
            value = _value(random, levels - 1)
        members.append(f"{_space(random, _string(random, key))}:{_space(random, value)}")
    return "{" + ",".join(members) + "}"


def _value(random: Random, levels: int) -> str:
    kind = random.randrange(8)
    if levels > 0 and kind < 2:
        return _object(random, levels)
    if levels > 0 and kind == 2:
        values = [_space(random, _value(random, levels - 1)) for _ in range(random.randrange(4))]
        return f"[{','.join(values)}]"
    if kind == 3:
        # Those that are none stand behind the others, and are rarer.
        return NUMBERS[min(random.randrange(len(NUMBERS)), random.randrange(len(NUMBERS)))]
    if kind == 4:
        return random.choice(("true", "false", "null", "[]", "{}", '""'))
    return _string(random, random.choice(NAMES + KEYS))


def _string(random: Random, text: str) -> str:
    """Return *text* in quotes, some of its characters escaped that need not be."""
    written = json.dumps(text, ensure_ascii=random.random() < 0.5)
    if text and text.isascii() and text.isalnum() and random.random() < 0.15:
        at = random.randint(1, min(5, len(text)))
        code = f"\\u{ord(written[at]):04x}"
        written = (
            written[:at] + (code.upper().replace("U", "u") if at % 2 else code) + written[at + 1 :]
        )
    return written


def _space(random: Random, text: str) -> str:
    return random.choice(SPACES) + text + random.choice(SPACES)
