"""One body that a client may send, and what either extraction must say of it."""

from __future__ import annotations

from dataclasses import dataclass

from snapshots.ir.refusals import RefusalCode


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what comes of it: a model, or the code of a refusal.

    Both are given where either answer is right: nesting of more than 500 levels.
    """

    name: str
    body: bytes
    content_type: str = "application/json"
    """Empty: the request has no such header."""
    model: str | None = None
    code: RefusalCode | None = None
    method: str = "POST"
    path: str = "/v1/chat/completions"

    def __post_init__(self) -> None:
        assert self.model is not None or self.code is not None, f"{self.name} expects nothing"

    def allows(self, model: str | None, code: str | None) -> bool:
        """Tell whether this answer is right: a *model*, or the *code* of a refusal."""
        if code is not None:
            return code == self.code
        return model is not None and model == self.model

    @property
    def media_headers(self) -> dict[str, str]:
        """Return the content-type as a client sends it."""
        return {"content-type": self.content_type} if self.content_type else {}
