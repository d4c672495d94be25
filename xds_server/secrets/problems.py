"""What is wrong with a secret, in words that show nothing of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a content cannot be served, and what would be right."""

    message: str
    hint: str = ""
