"""What all parts of a registry file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RegistryPart(BaseModel):
    """What all parts of the file have in common: nothing unknown, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
