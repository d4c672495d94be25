"""The two shapes in which an answer leaves: chat and completion, whole or as a stream of chunks.

The shapes: https://platform.openai.com/docs/api-reference/chat and .../completions
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xds_server.simulate.answers import Answer

JsonObject = dict[str, object]
STREAM_END = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """How one endpoint writes its choices."""

    id_prefix: str
    name: str
    """`object` of a whole answer."""
    chunk_name: str
    """`object` of a chunk of a stream."""
    opening: Callable[[], JsonObject] | None
    """The first chunk's part of a choice; None if the stream begins with text."""
    whole: Callable[[str], JsonObject]
    """The part of a choice that holds its whole text."""
    piece: Callable[[str], JsonObject]
    """The part of a choice that holds one piece of a stream; "" with the finish reason."""

    def body(self, answer: Answer) -> JsonObject:
        """Return the whole answer as one JSON object."""
        choices = [
            _choice(index, self.whole(" ".join(words)), answer.finish_reason)
            for index, words in enumerate(answer.choices)
        ]
        return {
            **self._head(answer, self.name),
            "choices": choices,
            "usage": answer.usage(),
            "simulate": answer.received.report(answer.server),
        }

    def openings(self, answer: Answer) -> Iterator[JsonObject]:
        """Yield the chunks before any text: who speaks, for a chat."""
        if self.opening is not None:
            for index in range(len(answer.choices)):
                yield self._chunk(answer, [_choice(index, self.opening(), None)])

    def pieces(self, answer: Answer) -> Iterator[JsonObject]:
        """Yield one chunk per word."""
        for index, text in answer.pieces():
            yield self._chunk(answer, [_choice(index, self.piece(text), None)])

    def endings(self, answer: Answer, *, include_usage: bool) -> Iterator[JsonObject]:
        """Yield the chunks after the text; the last one has the object `simulate`.

        With *include_usage* that is a chunk with `usage` and no choices, as OpenAI sends it.
        """
        report = {"simulate": answer.received.report(answer.server)}
        count = len(answer.choices)
        for index in range(count):
            choice = _choice(index, self.piece(""), answer.finish_reason)
            last = index == count - 1 and not include_usage
            yield {**self._chunk(answer, [choice]), **(report if last else {})}
        if include_usage:
            yield {**self._chunk(answer, []), "usage": answer.usage(), **report}

    def _head(self, answer: Answer, name: str) -> JsonObject:
        return {
            "id": f"{self.id_prefix}-{answer.server}-{answer.serial}",
            "object": name,
            "created": answer.created,
            "model": answer.model,
            "system_fingerprint": answer.server,
        }

    def _chunk(self, answer: Answer, choices: list[JsonObject]) -> JsonObject:
        return {**self._head(answer, self.chunk_name), "choices": choices}


def _choice(index: int, part: JsonObject, finish_reason: str | None) -> JsonObject:
    return {"index": index, **part, "logprobs": None, "finish_reason": finish_reason}


def event(chunk: JsonObject) -> bytes:
    """Return *chunk* as one server-sent event."""
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


CHAT = Shape(
    id_prefix="chatcmpl",
    name="chat.completion",
    chunk_name="chat.completion.chunk",
    opening=lambda: {"delta": {"role": "assistant", "content": ""}},
    whole=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    piece=lambda text: {"delta": {"content": text} if text else {}},
)

COMPLETION = Shape(
    id_prefix="cmpl",
    name="text_completion",
    chunk_name="text_completion",
    opening=None,
    whole=lambda text: {"text": text},
    piece=lambda text: {"text": text},
)
