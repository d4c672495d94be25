"""What a client is told when its request names no model: the one table of these refusals.

The answers have OpenAI's shape, so that its client libraries show the message:
`{"error": {"message", "type", "param", "code"}}`. Unknown but well-formed names are not refused
here: only the routes know which models exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ErrorCode = Literal["invalid_json", "missing_model", "ambiguous_model", "model_not_found"]

# Enough to recognise a name in a message; a whole body's worth of name is not sent back.
MAX_ECHOED_CHARACTERS = 80


class ModelNameError(Exception):
    """A request has no usable model name; `code` is the row of the table, `detail` fills it."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: ErrorCode = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: HTTP status, the `param` that is at fault, and the message around the detail."""

    status: int
    param: str | None
    message: str


REFUSALS: Mapping[ErrorCode, Refusal] = {
    "invalid_json": Refusal(400, None, "The request body is not a JSON object: {detail}."),
    "missing_model": Refusal(400, "model", "The request names no model: {detail}."),
    "ambiguous_model": Refusal(400, "model", "The request names more than one model: {detail}."),
    "model_not_found": Refusal(404, "model", "The model `{detail}` does not exist."),
}


def error_body(error: ModelNameError) -> bytes:
    """Return the JSON body that tells a client of *error*."""
    refusal = REFUSALS[error.code]
    return json.dumps(
        {
            "error": {
                "message": refusal.message.format(detail=error.detail),
                "type": "invalid_request_error",
                "param": refusal.param,
                "code": error.code,
            }
        }
    ).encode()


def shortened(name: str) -> str:
    """Return *name* as a message may repeat it: of bounded length, and always encodable."""
    short = name if len(name) <= MAX_ECHOED_CHARACTERS else name[:MAX_ECHOED_CHARACTERS] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")
