"""What a client is told when its request names no usable model: the one table of these refusals.

The companion and the native extraction (a script inside Envoy) both answer from it, so that they
say the same. The answers have OpenAI's shape, so that its client libraries show the message:
`{"error": {"message", "type", "param", "code"}}`. Unknown but well-formed names are not refused
here: only the routes know which models exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

RefusalCode = Literal[
    "invalid_json",
    "invalid_multipart",
    "missing_model",
    "ambiguous_model",
    "model_not_found",
    "unsupported_content_encoding",
]

REFUSAL_TYPE: Final = "invalid_request_error"
"""The `type` of every refusal."""

MAX_ECHOED_CHARACTERS: Final = 80
"""Of a name, in a message: enough to recognise it; a whole body's worth is not sent back."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: HTTP status, the `param` that is at fault, and the message around the detail."""

    status: int
    param: str | None
    message: str
    """Holds `{detail}` once."""


REFUSALS: Final[Mapping[RefusalCode, Refusal]] = {
    "invalid_json": Refusal(400, None, "The request body is not a JSON object: {detail}."),
    "invalid_multipart": Refusal(400, None, "The request body is not a complete form: {detail}."),
    "missing_model": Refusal(400, "model", "The request names no model: {detail}."),
    "ambiguous_model": Refusal(400, "model", "The request names more than one model: {detail}."),
    "model_not_found": Refusal(404, "model", "The model `{detail}` does not exist."),
    "unsupported_content_encoding": Refusal(
        415, None, "The body's content-encoding is {detail}; send it as it is, or with gzip."
    ),
}


def error_object(code: RefusalCode, detail: str) -> dict[str, dict[str, str | None]]:
    """Return what the body of the answer says, for a request that is at fault by *detail*."""
    refusal = REFUSALS[code]
    error = {
        "message": refusal.message.format(detail=detail),
        "type": REFUSAL_TYPE,
        "param": refusal.param,
        "code": code,
    }
    return {"error": error}
