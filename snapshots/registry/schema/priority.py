"""How urgent the requests for a model are."""

from __future__ import annotations

from typing import Literal

Priority = Literal["critical", "standard", "sheddable"]
