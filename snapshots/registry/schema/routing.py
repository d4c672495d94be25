"""What a model may ask for besides its pools: who gets which variant, and when to try again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from snapshots.registry.fields import (
    CookieName,
    Duration,
    Name,
    RequestHeaderName,
    Switch,
    WholeNumber,
)
from snapshots.registry.problems import ValueRefusedError, code
from snapshots.registry.schema.part import RegistryPart

MAX_ATTEMPTS = 10
RETRIABLE_STATUSES = range(400, 600)
RETRY_CAUSES = ("unreachable", "reset")


def _check_true(value: bool) -> bool:
    if not value:
        raise ValueRefusedError("can only be `true`", "leave it out")
    return value


OnlyTrue = Annotated[Switch, AfterValidator(_check_true)]


class Sticky(RegistryPart):
    """What tells users apart, so that each stays with one pool of a split."""

    header: RequestHeaderName | None = Field(
        default=None,
        description="Request header whose value is the user's. This, `cookie` or `client`.",
        examples=["x-user-id"],
    )
    cookie: CookieName | None = Field(
        default=None,
        description="Cookie whose value is the user's. This, `header` or `client`.",
        examples=["session"],
    )
    client: OnlyTrue | None = Field(
        default=None,
        description="Each client of `auth.clients` is a user. This, `header` or `cookie`.",
        examples=[True],
    )


def _check_cause(cause: object) -> object:
    if cause in RETRY_CAUSES or (type(cause) is int and cause in RETRIABLE_STATUSES):
        return cause
    raise ValueRefusedError(
        f"must be {', '.join(map(code, RETRY_CAUSES))} or a status from 400 to 599",
        "write [unreachable, 503]",
    )


RetryCause = Annotated[
    Literal["unreachable", "reset"] | int,
    BeforeValidator(
        _check_cause,
        json_schema_input_type=Literal["unreachable", "reset"]
        | Annotated[int, Field(ge=RETRIABLE_STATUSES.start, lt=RETRIABLE_STATUSES.stop)],
    ),
]


class Retries(RegistryPart):
    """When a request is tried again, always before the first byte of an answer."""

    attempts: WholeNumber = Field(
        default=2,
        ge=0,
        le=MAX_ATTEMPTS,
        description="How often a request is tried again, each time at another server; 0: never.",
    )
    on: tuple[RetryCause, ...] = Field(
        default=("unreachable",),
        min_length=1,
        description=(
            "What is tried again: `unreachable` (no server saw the request), `reset` (the server "
            "ended the connection, or took longer than `per_try_timeout`) and statuses of answers."
        ),
        examples=[["unreachable", 503]],
    )
    per_try_timeout: Duration = Field(
        default=timedelta(0),
        description=(
            "Time in which each try must bring the first byte of an answer; `0s` for no limit but "
            "`timeout` of the model."
        ),
    )


class Mirror(RegistryPart):
    """A pool that gets copies of a model's requests, and whose answers nobody sees."""

    pool: Name = Field(description="The pool that gets the copies.", examples=["llama-next"])
    percent: Annotated[WholeNumber, Field(ge=1, le=100)] = Field(
        default=100, description="How many of a hundred requests are copied."
    )


DEFAULT_RETRIES = Retries()
