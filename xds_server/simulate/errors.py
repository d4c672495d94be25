"""Refusals in the shape that OpenAI's clients expect.

The shape: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations


class RefusedError(Exception):
    """A request that gets an error for an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body = error_body(message, kind=kind, param=param, code=code)


def error_body(
    message: str, *, kind: str, param: str | None = None, code: str | int | None = None
) -> dict[str, object]:
    """Return the JSON body of an error; *kind* is what OpenAI calls `type`."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def unknown_model(model: str) -> RefusedError:
    """Return vLLM's answer to a model name that it does not serve."""
    message = f"The model `{model}` does not exist."
    return RefusedError(404, message, kind="NotFoundError", param="model", code=404)
