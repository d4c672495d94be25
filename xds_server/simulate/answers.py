"""What a simulated server says: one deterministic sentence, and how many words it took.

Does not know the shape in which it is sent; that is `shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.received import Received

ECHO_WORDS = 20
ECHO_CHARS = 400
MAX_TEXTS = 2048
"""Inputs of one request, and choices of one answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The content of one answer; a word counts as a token."""

    serial: int
    created: int
    """Seconds since the epoch."""
    server: str
    model: str
    choices: tuple[tuple[str, ...], ...]
    """The words of each choice."""
    finish_reason: str
    """`stop`, or `length` if the request's limit cut it."""
    prompt_tokens: int
    received: Received

    @property
    def completion_tokens(self) -> int:
        """Return the words of all choices."""
        return sum(map(len, self.choices))

    def usage(self) -> dict[str, object]:
        """Return OpenAI's object `usage`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def pieces(self) -> Iterator[tuple[int, str]]:
        """Yield (choice, text) in the order of a stream; joined per choice they are its text."""
        for position in range(max(map(len, self.choices))):
            for index, words in enumerate(self.choices):
                if position < len(words):
                    yield index, words[position] if position == 0 else f" {words[position]}"


def build_answer(  # noqa: PLR0913 - the facts of one answer, each by name
    received: Received, *, server: str, model: str, serial: int, created: int, tokens: int | None
) -> Answer:
    """Return the answer of *server* to *received*; *model* is said if the body names none.

    *tokens* is the wanted number of words, None for the sentence as it is. RefusedError (400)
    for messages or prompts of a wrong shape.
    """
    prompts = read_prompts(received.fields)
    said_model = model if received.model is None else received.model
    limit = _positive(received.fields, "max_completion_tokens") or _positive(
        received.fields, "max_tokens"
    )
    copies = _positive(received.fields, "n") or 1
    if copies * len(prompts) > MAX_TEXTS:
        raise RefusedError(400, f"at most {MAX_TEXTS} choices can be answered", param="n")
    wanted = [_sentence(server, said_model, prompt, tokens) for prompt in prompts]
    cut = any(limit is not None and len(words) > limit for words in wanted)
    return Answer(
        serial=serial,
        created=created,
        server=server,
        model=said_model,
        choices=tuple(words[:limit] for words in wanted for _ in range(copies)),
        finish_reason="length" if cut else "stop",
        prompt_tokens=sum(map(count_tokens, prompts)),
        received=received,
    )


Prompt = str | list[int]
"""Text, or tokens that a client has counted itself."""


def count_tokens(prompt: Prompt) -> int:
    """Return the length of *prompt*: its words, or the tokens it is made of."""
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


def read_prompts(fields: Mapping[str, object]) -> list[Prompt]:
    """Return what a chat or completion request asks, at least one; a chat is one prompt.

    A chat request may carry `prompt` instead of `messages`, as published examples do, or neither.
    """
    if "messages" in fields:
        return [_chat_text(fields["messages"])]
    return read_texts(fields.get("prompt", ""), "prompt")


def read_texts(value: object, param: str) -> list[Prompt]:
    """Return the texts of *value*: a string, tokens, or a list of either; else RefusedError."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(one, int) for one in value):
            return [value]
        if len(value) <= MAX_TEXTS and all(_is_text(one) for one in value):
            return value
    raise RefusedError(
        400, f"`{param}` must be a string, tokens or a list of up to {MAX_TEXTS}", param=param
    )


def _is_text(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(token, int) for token in value)
    return isinstance(value, str)


def _chat_text(messages: object) -> str:
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise RefusedError(400, "`messages` must be a list of objects", param="messages")
    # The last user's words come last, so that they are what the sentence echoes.
    asked = [one for one in messages if one.get("role") == "user"]
    others = [one for one in messages if one.get("role") != "user"]
    return "\n".join(_content_text(one.get("content")) for one in (*others, *asked))


def _content_text(content: object) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _sentence(server: str, model: str, prompt: Prompt, tokens: int | None) -> tuple[str, ...]:
    echo = (
        prompt[-ECHO_CHARS:].split()[-ECHO_WORDS:]
        if isinstance(prompt, str)
        else [f"{len(prompt)} tokens"]
    )
    said = f"This is {server} answering as {model}: {' '.join(echo)}".split()
    return tuple(said if tokens is None else islice(cycle(said), tokens))


def _positive(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else None
