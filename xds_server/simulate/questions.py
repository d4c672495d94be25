"""What a request asks, in any of the shapes that clients use, and how long it is.

Does not check what a real model would refuse; routing is what is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.simulate.errors import RefusedError

ECHO_WORDS = 20
ECHO_CHARS = 400
MAX_TEXTS = 2048
"""Inputs of one request, and choices of one answer."""

Text = str | list[int]
"""Text, or tokens that a client has counted itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt or one chat."""

    echo: str
    """Its last words, those of the user in a chat; bounded."""
    tokens: int
    """Its length: words, or tokens if it is made of them."""


def read_questions(fields: Mapping[str, object]) -> list[Question]:
    """Return what a chat or completion request asks, at least one; RefusedError for other shapes.

    A chat is one question. It may carry `prompt` instead of `messages`, as published examples do,
    or neither.
    """
    if "messages" in fields:
        return [_read_chat(fields["messages"])]
    texts = read_texts(fields.get("prompt", ""), "prompt")
    return [Question(_last_words(text), count_tokens(text)) for text in texts]


def read_texts(value: object, param: str) -> list[Text]:
    """Return the texts of *value*: a string, tokens, or a list of either; else RefusedError."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(one, int) for one in value):
            return [value]
        if len(value) <= MAX_TEXTS and all(_is_text(one) for one in value):
            return value
    message = f"`{param}` must be a string, tokens or a list of up to {MAX_TEXTS} of either"
    raise RefusedError(400, message, param=param)


def count_tokens(text: Text) -> int:
    """Return the length of *text*: its words, or the tokens it is made of."""
    return len(text.split()) if isinstance(text, str) else len(text)


def _is_text(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(token, int) for token in value)
    return isinstance(value, str)


def _read_chat(messages: object) -> Question:
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise RefusedError(400, "`messages` must be a list of objects", param="messages")
    asked = [_content(one) for one in messages if one.get("role") == "user"]
    tokens = sum(count_tokens(_content(one)) for one in messages)
    return Question(_last_words(asked[-1] if asked else ""), tokens)


def _content(message: Mapping[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _last_words(text: Text) -> str:
    if isinstance(text, list):
        return f"{len(text)} tokens"
    return " ".join(text[-ECHO_CHARS:].split()[-ECHO_WORDS:])
