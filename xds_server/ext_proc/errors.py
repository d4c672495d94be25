"""A request that names no usable model, and the body of the answer to it."""

from __future__ import annotations

import json

from snapshots.ir.refusals import MAX_ECHOED_CHARACTERS, RefusalCode, error_object


class ModelNameError(Exception):
    """A request has no usable model name; `code` is the row of the table, `detail` fills it."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: RefusalCode = code
        self.detail = detail


def error_body(error: ModelNameError) -> bytes:
    """Return the JSON body that tells a client of *error*."""
    return json.dumps(error_object(error.code, error.detail)).encode()


def shortened(name: str) -> str:
    """Return *name* as a message may repeat it: of bounded length, and always encodable."""
    short = name if len(name) <= MAX_ECHOED_CHARACTERS else name[:MAX_ECHOED_CHARACTERS] + "…"
    return short.encode("utf-8", "backslashreplace").decode("utf-8")
