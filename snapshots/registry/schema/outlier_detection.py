"""What may stand in `outlier_detection` of a pool."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from snapshots.registry.fields import PositiveDuration, WholeNumber
from snapshots.registry.schema.part import RegistryPart

MAX_IN_A_ROW: Final = 1000


class OutlierDetection(RegistryPart):
    """When a server is left alone for a time because of what became of requests."""

    consecutive_errors: Annotated[WholeNumber, Field(ge=1, le=MAX_IN_A_ROW)] = Field(
        default=3,
        description=(
            "How many requests in a row must have found the server out of reach: refused, ended "
            "without an answer, or timed out before its first byte."
        ),
        examples=[5],
    )
    consecutive_5xx: Annotated[WholeNumber, Field(ge=1, le=MAX_IN_A_ROW)] | None = Field(
        default=None,
        description=(
            "How many requests in a row must have been answered with 500 to 599. Without it, what "
            "a server answers is its own business."
        ),
        examples=[10],
    )
    interval: PositiveDuration = Field(
        default=timedelta(seconds=1),
        description="Time between two looks at whether a server may come back.",
    )
    eject_for: PositiveDuration = Field(
        default=timedelta(seconds=5),
        description=(
            "How long a server gets no request, the first time; each further time in a row as long "
            "again more, up to 300s."
        ),
    )
    max_ejected_percent: Annotated[WholeNumber, Field(ge=1, le=100)] = Field(
        default=99,
        description=(
            "Of the pool's servers, at most this many per cent at a time. Below 100 the last one "
            "always stays."
        ),
    )
