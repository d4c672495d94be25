"""What may stand in an entry of `models`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from snapshots.registry.fields import Duration, Name, PathPrefix, RequestedName, WholeNumber
from snapshots.registry.schema.headers import Headers
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.schema.priority import Priority
from snapshots.registry.schema.rate_limit import RateLimit
from snapshots.registry.schema.routing import DEFAULT_RETRIES, Mirror, Retries, Sticky

MAX_SPLIT_WEIGHT: Final = 2**32 - 1
"""Of one pool and of all pools of a split: Envoy adds them up in 32 bits."""

MAX_FALLBACKS: Final = 8

SplitWeight = Annotated[WholeNumber, Field(ge=0, le=MAX_SPLIT_WEIGHT)]


class ServedModel(RegistryPart):
    """A name that clients write in `model`, and the servers that answer to it."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["pool"]}, {"required": ["split"]}]}
    )

    pool: Name | None = Field(
        default=None,
        description="The pool that answers. Either this or `split` is needed.",
        examples=["llama-1b"],
    )
    split: dict[Name, SplitWeight] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Several pools and the weight of each: whole numbers, 0 allowed, not all of them 0. "
            "Either this or `pool` is needed."
        ),
        examples=[{"llama-1b": 70, "llama-3b": 30}],
    )
    aliases: tuple[RequestedName, ...] = Field(
        default=(),
        description=(
            "Further names for the same model; one that ends with `*` stands for every name "
            "that begins like it and is not in the file."
        ),
        examples=[["small", "gpt-4*"]],
    )
    paths: tuple[PathPrefix, ...] = Field(
        default=(),
        description=(
            "Path prefixes that select this model whatever the body says. The prefix is cut, "
            "but for a leading API version: `/v1/1b/chat/completions` arrives as "
            "`/v1/chat/completions`."
        ),
        examples=[["/v1/1b"]],
    )
    timeout: Duration = Field(
        default=timedelta(seconds=300),
        description=(
            "Time from the last byte of a request to the last byte of its answer; "
            "`0s` for no limit."
        ),
    )
    idle_timeout: Duration = Field(
        default=timedelta(seconds=300),
        description="Longest pause between two pieces of an answer; `0s` for no limit.",
    )
    sticky: Sticky | None = Field(
        default=None,
        description="What keeps a user with one pool of a split: a header or a cookie.",
        examples=[{"header": "x-user-id"}, {"cookie": "session"}],
    )
    retries: Retries = Field(
        default=DEFAULT_RETRIES,
        description=(
            "When and how often a request is tried again at another server. With `fallback`, "
            "`attempts` is 0 unless given, and counts for each pool."
        ),
        examples=[{"attempts": 2, "on": ["unreachable", 503], "per_try_timeout": "30s"}],
    )
    fallback: tuple[Name, ...] = Field(
        default=(),
        max_length=MAX_FALLBACKS,
        description=(
            "Pools that a request goes on to, in this order, when its pool is down, is full, or "
            "answers 429, 502 or 503; each gets one try, or more if `retries` has `attempts`."
        ),
        examples=[["llama-3b", "elsewhere"]],
    )
    mirror: Mirror | None = Field(
        default=None,
        description="A pool that gets copies of the requests; its answers are thrown away.",
        examples=[{"pool": "llama-next", "percent": 10}],
    )
    rate_limit: RateLimit | None = Field(
        default=None,
        description=(
            "How many requests this model may get, with its aliases and paths, from each Envoy; "
            "what goes beyond is answered with 429."
        ),
        examples=[{"requests_per_second": 10, "burst": 20}],
    )
    headers: Headers = Field(
        default=Headers(),
        description="Headers that are set or removed for this model, whichever pool answers.",
        examples=[{"request": {"set": {"x-team": "search"}}}],
    )
    priority: Priority = Field(
        default="standard",
        description=(
            "What happens when a pool is nearly full: `sheddable` requests are refused first, "
            "`critical` ones have a budget of their own."
        ),
    )
