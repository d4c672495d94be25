"""What a simulated server says: one deterministic sentence, and how many words it took.

Does not know the shape in which it is sent; that is `shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.questions import MAX_TEXTS, read_questions
from xds_server.simulate.received import Received


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
    questions = read_questions(received.fields)
    said_model = model if received.model is None else received.model
    limit = _positive(received.fields, "max_completion_tokens") or _positive(
        received.fields, "max_tokens"
    )
    copies = _positive(received.fields, "n") or 1
    if copies * len(questions) > MAX_TEXTS:
        raise RefusedError(400, f"at most {MAX_TEXTS} choices can be answered", param="n")
    wanted = [_sentence(server, said_model, one.echo, tokens) for one in questions]
    cut = any(limit is not None and len(words) > limit for words in wanted)
    return Answer(
        serial=serial,
        created=created,
        server=server,
        model=said_model,
        choices=tuple(words[:limit] for words in wanted for _ in range(copies)),
        finish_reason="length" if cut else "stop",
        prompt_tokens=sum(one.tokens for one in questions),
        received=received,
    )


def _sentence(server: str, model: str, echo: str, tokens: int | None) -> tuple[str, ...]:
    said = f"This is {server} answering as {model}: {echo}".split()
    return tuple(said if tokens is None else islice(cycle(said), tokens))


def _positive(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else None
