"""Vectors without a model: equal texts give equal vectors of length one, whichever the server.

The shape: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.questions import Text, count_tokens, read_texts
from xds_server.simulate.received import Received

DEFAULT_DIMENSIONS = 64
MAX_DIMENSIONS = 4096


def embeddings_body(received: Received, *, server: str, model: str) -> dict[str, object]:
    """Return the answer to an embeddings request; RefusedError (400) for a wrong shape."""
    texts = read_texts(received.fields.get("input"), "input")
    dimensions = _dimensions(received.fields.get("dimensions"))
    encoding = received.fields.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        message = "`encoding_format` must be float or base64"
        raise RefusedError(400, message, param="encoding_format")
    vectors = (vector(text, dimensions) for text in texts)
    tokens = sum(map(count_tokens, texts))
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": one if encoding == "float" else base64_vector(one),
            }
            for index, one in enumerate(vectors)
        ],
        "model": model if received.model is None else received.model,
        "system_fingerprint": server,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "simulate": received.report(server),
    }


def vector(text: Text, dimensions: int) -> list[float]:
    """Return the unit vector of *text*: its hash, stretched to *dimensions* numbers."""
    seed = text if isinstance(text, str) else repr(text)
    digest = hashlib.shake_256(seed.encode(errors="backslashreplace")).digest(2 * dimensions)
    # Odd numbers only, so that no vector can be all zeros.
    raw = [2 * number + 1 for number in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def base64_vector(numbers: list[float]) -> str:
    """Return *numbers* as OpenAI's base64: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _dimensions(value: object) -> int:
    if value is None:
        return DEFAULT_DIMENSIONS
    if isinstance(value, int) and 1 <= value <= MAX_DIMENSIONS:
        return value
    message = f"`dimensions` must be an integer from 1 to {MAX_DIMENSIONS}"
    raise RefusedError(400, message, param="dimensions")
