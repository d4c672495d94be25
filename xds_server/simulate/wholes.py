"""Answers of the endpoints that are answered whole here: one sentence, or a ranking.

Shapes: https://platform.openai.com/docs/api-reference/responses and .../audio,
https://docs.anthropic.com/en/api/messages, and vLLM's and Jina's `/v1/rerank`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from xds_server.simulate.answers import Answer, build_answer
from xds_server.simulate.errors import RefusedError
from xds_server.simulate.questions import MAX_TEXTS, count_tokens
from xds_server.simulate.received import Received


def response_body(received: Received, *, server: str, model: str) -> dict[str, object]:
    """Return the answer to `/v1/responses`; RefusedError (400) for a wrong shape."""
    asked = received.fields.get("input", "")
    limit = received.fields.get("max_output_tokens")
    fields = {"prompt": asked} if isinstance(asked, str) else {"messages": asked}
    answer = _answer(received, fields | {"max_tokens": limit}, server, model)
    text = {"type": "output_text", "text": _text(answer), "annotations": []}
    message = {
        "type": "message",
        "id": f"msg-{_id(answer)}",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": f"resp-{_id(answer)}",
        "object": "response",
        "created_at": answer.created,
        "status": "completed",
        "error": None,
        "model": answer.model,
        "output": [message],
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "output_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        },
        "simulate": received.report(server),
    }


def message_body(received: Received, *, server: str, model: str) -> dict[str, object]:
    """Return the answer to `/v1/messages`; RefusedError (400) for a wrong shape."""
    answer = _answer(received, received.fields, server, model)
    cut = answer.finish_reason == "length"
    return {
        "id": f"msg-{_id(answer)}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [{"type": "text", "text": _text(answer)}],
        "stop_reason": "max_tokens" if cut else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "output_tokens": answer.completion_tokens,
        },
        "simulate": received.report(server),
    }


def transcription_body(received: Received, *, server: str, model: str) -> dict[str, object]:
    """Return the answer to `/v1/audio/transcriptions`: `simulate` has the file as it arrived."""
    file = received.fields.get("file")
    if not isinstance(file, Mapping):
        raise RefusedError(400, "The form has no file", param="file")
    answer = _answer(received, {"prompt": str(file["filename"])}, server, model)
    return {"text": _text(answer), "simulate": received.report(server) | {"file": file}}


def ranking_body(received: Received, *, server: str, model: str) -> dict[str, object]:
    """Return the answer to `/v1/rerank`: those that share most words with the query are first."""
    query, documents = received.fields.get("query"), received.fields.get("documents")
    if not isinstance(query, str):
        raise RefusedError(400, "`query` must be a string", param="query")
    if not isinstance(documents, list) or len(documents) > MAX_TEXTS:
        message = f"`documents` must be a list of up to {MAX_TEXTS} strings"
        raise RefusedError(400, message, param="documents")
    texts = [one if isinstance(one, str) else str(one) for one in documents]
    results: list[dict[str, object]] = [
        {"index": index, "document": {"text": text}, "relevance_score": _likeness(query, text)}
        for index, text in enumerate(texts)
    ]
    results.sort(key=lambda result: result["relevance_score"], reverse=True)  # type: ignore[arg-type,return-value]
    return {
        "id": f"rerank-{received.body_sha256[:12]}",
        "model": model if received.model is None else received.model,
        "usage": {"total_tokens": sum(map(count_tokens, [query, *texts]))},
        "results": results,
        "simulate": received.report(server),
    }


def _answer(received: Received, fields: Mapping[str, object], server: str, model: str) -> Answer:
    if received.fields.get("stream") is True:
        raise RefusedError(400, "This simulated endpoint does not stream", param="stream")
    return build_answer(
        received.asking(fields),
        server=server,
        model=model,
        serial=0,
        created=int(time.time()),
        tokens=None,
    )


def _text(answer: Answer) -> str:
    return " ".join(answer.choices[0])


def _id(answer: Answer) -> str:
    return answer.received.body_sha256[:12]


def _likeness(query: str, text: str) -> float:
    wanted, there = set(query.lower().split()), set(text.lower().split())
    return len(wanted & there) / max(1, len(wanted | there))
