"""What all parts of a registry file have in common."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override


class RegistryPart(BaseModel):
    """What all parts of the file have in common: nothing unknown, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @override
    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Nothing changes, so none is needed; else each entry would get its own copy of defaults.
        return self
