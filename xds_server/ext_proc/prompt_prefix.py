"""The front of a prompt, as a short hash: prompts that begin alike have the same.

The front is what a conversation keeps as it goes on: the system prompt (`system`, `instructions`,
and what precedes in `messages` or `input`) up to the first message of a user, or else `prompt` or
`input` itself. Of each message its role and its texts count, and nothing else: not white space or
the order of keys around them, nor images. Where there is no text, there is no hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b

from xds_server.ext_proc.multipart import is_form

_HASH_BYTES = 8
_INSTRUCTIONS = ("system", "instructions")
_PROMPTS = ("messages", "prompt", "input")
_BETWEEN = "\x1f"


def prompt_prefix(body: bytes, content_type: bytes, limit: int) -> str:
    """Return the hash of the first *limit* bytes of the front of *body*; empty if it has none.

    *body* is one whose model was found; a form has no front.
    """
    if is_form(content_type):
        return ""
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        # It could be read a moment ago, but for the last of the nesting that Python takes.
        return ""
    pieces: list[str] = []
    size = 0
    for piece in _front(document):
        pieces.append(piece[:limit])  # a character has a byte at least
        size += len(pieces[-1])
        if size >= limit:
            break
    if not size:
        return ""
    front = _BETWEEN.join(pieces).encode("utf-8", "surrogatepass")
    return blake2b(front[:limit], digest_size=_HASH_BYTES).hexdigest()


def _front(document: dict[str, object]) -> Iterator[str]:
    """Yield the texts of the front, in order."""
    for key in _INSTRUCTIONS:
        yield from _texts(document.get(key))
    prompt = next((document[key] for key in _PROMPTS if document.get(key)), None)
    if isinstance(prompt, list) and isinstance(prompt[0], dict):
        yield from _first_messages(prompt)
    elif isinstance(prompt, list) and not isinstance(prompt[0], int):
        yield from _texts(prompt[0])  # of several prompts, which one server answers
    else:
        yield from _texts(prompt)


def _first_messages(messages: list[object]) -> Iterator[str]:
    """Yield role and texts of each message up to the first of a user."""
    for message in messages:
        if isinstance(message, dict):
            role = message.get("role")
            yield from _texts(role)
            yield from _texts(message.get("content"))
            if role == "user":
                return


def _texts(value: object) -> Iterator[str]:
    """Yield what *value* says: a text, parts of which some are texts, or tokens."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, int):
                yield str(part)
            elif isinstance(part, dict):
                yield from _texts(part.get("text"))
            elif isinstance(part, str):
                yield part
