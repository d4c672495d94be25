"""The bodies by which both extractions are held to one language.

`CASES` are small. `large_cases` builds bodies of 1 MB and 15 MB, one after the other.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping

from tests.support.corpus_case import Case
from tests.support.corpus_json import json_cases
from tests.support.corpus_multipart import (
    AUDIO_TYPE,
    FILE,
    FORM,
    LLAMA,
    PATH,
    form,
    multipart_cases,
    part,
)

__all__ = ["CASES", "SERVED", "Case", "large_cases"]

MB = 1_000_000

# What a client of each interface sends, with `model` where its library puts it.
INTERFACES: Mapping[str, Mapping[str, object]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": [{"type": "text", "text": 'Héllo \n "world" 世界'}]},
        ],
        "model": "llama",
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"model": {}}}}],
    },
    "/v1/completions": {"model": "llama", "prompt": ["a", "b"], "max_tokens": 7},
    "/v1/messages": {
        "model": "llama",
        "max_tokens": 1024,
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Hello"}],
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "model: other"}]}],
        "model": "llama",
        "reasoning": {"effort": "low"},
        "metadata": {"model": "other"},
    },
    "/v1/embeddings": {"input": ["a", "b"], "model": "llama", "encoding_format": "base64"},
    "/v1/rerank": {
        "model": "llama",
        "query": "q",
        "documents": ["a", {"text": "model"}],
        "top_n": 1,
    },
}

PLAIN = b'{"model": "llama"}'
JSON_TYPES = (
    *(
        "",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "text/plain",
        "application/x-ndjson",
    ),
    *("application/vnd.api+json", "application/octet-stream", "application/x-www-form-urlencoded"),
)


def _interfaces() -> Iterator[Case]:
    for path, body in INTERFACES.items():
        for indent in (None, 2):
            text = json.dumps(body, indent=indent, ensure_ascii=indent is None)
            title = f"{path}, {'indented' if indent else 'compact'}"
            yield Case(title, text.encode(), model="llama", path=path)
    for kind in JSON_TYPES:
        yield Case(f"type: {kind or 'none'}", PLAIN, kind, model="llama")
        yield Case(f"type: {kind or 'none'}, cut", PLAIN[:-1], kind, code="invalid_json")
    yield Case("no body", b"", code="missing_model")
    yield Case("no body, no type", b"", "", code="missing_model")
    yield Case("no body, form", b"", FORM, code="missing_model", path=PATH)


CASES: tuple[Case, ...] = (*json_cases(), *multipart_cases(), *_interfaces())

SERVED: tuple[str, ...] = tuple(sorted({case.model for case in CASES if case.model is not None}))
"""Every name that a case finds, for a registry that routes them all."""


def large_cases() -> Iterator[Case]:
    """Yield bodies of 1 MB and of 15 MB: images, many small messages, audio; cut, too."""
    for size in (1 * MB, 15 * MB):
        megabytes = f"{size // MB} MB"
        for first in (True, False):
            where = "first" if first else "last"
            image = chat_with_image(size, model_first=first)
            yield Case(f"{megabytes}, image, model {where}", image, model="llama")
            messages = chat_with_messages(size, model_first=first)
            yield Case(f"{megabytes}, messages, model {where}", messages, model="llama")
            form_ = form_with_audio(size, model_first=first)
            yield Case(f"{megabytes}, audio, model {where}", form_, FORM, model="llama", path=PATH)
        yield Case(f"{megabytes}, image, cut", image[:-1], code="invalid_json")
        yield Case(
            f"{megabytes}, audio, cut", form_[:-8], FORM, code="invalid_multipart", path=PATH
        )


def chat_with_image(size: int, *, model_first: bool) -> bytes:
    """Return about *size* bytes of chat, nearly all of it one image in base64."""
    image = base64.b64encode(random.Random(size).randbytes(size * 3 // 4)).decode()
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    return _chat([{"role": "user", "content": [url]}], model_first=model_first)


def chat_with_messages(size: int, *, model_first: bool) -> bytes:
    """Return about *size* bytes of chat, in messages of about 100 bytes."""
    text = 'What does "model" mean here, in one or two lines?\n'
    messages = [{"role": "user", "content": f"{text}{number:06}"} for number in range(size // 100)]
    return _chat(messages, model_first=model_first)


def form_with_audio(size: int, *, model_first: bool) -> bytes:
    """Return about *size* bytes of a form, nearly all of it audio."""
    sound = part(random.Random(size).randbytes(size), FILE, AUDIO_TYPE)
    return form(LLAMA, sound) if model_first else form(sound, LLAMA)


def _chat(messages: list[object], *, model_first: bool) -> bytes:
    rest = {"messages": messages, "stream": True}
    body = {"model": "llama", **rest} if model_first else {**rest, "model": "llama"}
    return json.dumps(body).encode()
