"""What a simulated server can be told to do badly: slowness, failures, sickness.

Does not know where a setting comes from: the command line, a test or `POST /simulate/settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class SettingsError(ValueError):
    """A setting that does not exist or is out of range; the message names each one."""


class SimulateSettings(BaseModel):
    """The knobs of one simulated server; times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    latency_s: Seconds = 0.0
    """Time before the first byte of an answer."""
    token_latency_s: Seconds = 0.0
    """Time before each word of an answer."""
    tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Words of every answer; without it the length of the plain sentence."""
    fail_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """Share of the answers that are errors, spread evenly: 0.25 is exactly every fourth."""
    fail_status: Annotated[int, Field(ge=400, le=599)] = 503
    """HTTP status of those errors."""
    healthy: bool = True
    """Whether `GET /health` answers 200 or 503."""
    health_latency_s: Seconds = 0.0
    """Time before `GET /health` answers."""

    def changed(self, update: Mapping[str, object]) -> Self:
        """Return these settings with *update* applied; SettingsError if one is wrong."""
        try:
            return self.model_validate({**self.model_dump(), **update})
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
            )
            raise SettingsError(wrong) from error
