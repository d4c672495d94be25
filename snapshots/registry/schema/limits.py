"""What may stand in the `limits` of a gateway."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from snapshots.registry.fields import Duration, PositiveDuration, Size, WholeNumber
from snapshots.registry.problems import ValueRefusedError
from snapshots.registry.schema.part import RegistryPart

MAX_HEADERS: Final = 10_000
MAX_HEADER_SIZE: Final = 8 * 2**20
"""Envoy takes no more than 8192 KiB."""
MAX_STREAMS: Final = 2**31 - 1


def _check_header_size(size: int) -> int:
    if size > MAX_HEADER_SIZE:
        raise ValueRefusedError("Envoy holds at most 8MiB of headers")
    return size


class Limits(RegistryPart):
    """What one client may take of these Envoys."""

    max_headers: Annotated[WholeNumber, Field(ge=1, le=MAX_HEADERS)] = Field(
        default=100,
        description="How many headers a request may have; one with more is answered with 431.",
        examples=[200],
    )
    max_header_size: Annotated[Size, AfterValidator(_check_header_size)] = Field(
        default=60 * 2**10,
        description=(
            "How long all headers of a request may be together with its URL, in whole KiB; a "
            "longer one is answered with 431."
        ),
        examples=["60KiB", "128KiB"],
        json_schema_extra={"default": "60KiB"},
    )
    headers_with_underscores: Literal["reject", "drop"] = Field(
        default="reject",
        description=(
            "What becomes of a request with a header that has a `_` in its name, which many "
            "servers read as `-`: `reject` answers 400, `drop` takes the header away."
        ),
    )
    request_headers_timeout: PositiveDuration = Field(
        default=timedelta(seconds=10),
        description=(
            "Time in which the headers of a request must be here; then 408. A TLS handshake has "
            "the same time."
        ),
        examples=["10s"],
    )
    request_timeout: Duration = Field(
        default=timedelta(seconds=300),
        description=(
            "Time in which a whole request must be here; then 408. Its answer may take longer. "
            "`0s` for no limit."
        ),
        examples=["300s", "15m"],
    )
    connection_idle_timeout: PositiveDuration = Field(
        default=timedelta(hours=1),
        description="How long a connection may be open without a request.",
        examples=["1h", "5m"],
    )
    max_concurrent_streams: Annotated[WholeNumber, Field(ge=1, le=MAX_STREAMS)] = Field(
        default=100,
        description="How many requests one HTTP/2 connection may have at a time.",
        examples=[100],
    )
