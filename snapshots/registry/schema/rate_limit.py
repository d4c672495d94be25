"""What may stand in `rate_limit`, of a model or of a client."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from snapshots.registry.fields import WholeNumber
from snapshots.registry.schema.part import RegistryPart

MAX_REQUESTS: Final = 1_000_000


class RateLimit(RegistryPart):
    """How many requests may come; each Envoy counts for itself."""

    requests_per_second: Annotated[WholeNumber, Field(ge=1, le=MAX_REQUESTS)] = Field(
        description="How many requests may come in a second, in the long run.",
        examples=[10],
    )
    burst: Annotated[WholeNumber, Field(ge=1, le=MAX_REQUESTS)] | None = Field(
        default=None,
        description=(
            "How many requests may come at once, after a pause; as many as in a second, if it is "
            "left out."
        ),
        examples=[20],
    )
