"""What may stand in `load_balancing` of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field

from snapshots.registry.fields import (
    CookieName,
    RequestHeaderName,
    Size,
    WholeNumber,
    literal_or,
)
from snapshots.registry.problems import ValueRefusedError
from snapshots.registry.schema.part import RegistryPart

Policy = Literal["least_request", "round_robin", "random", "maglev", "ring_hash"]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)
HASHING_POLICIES: Final = ("maglev", "ring_hash")
"""Those that send what has the same key to the same server."""
PREFIX_BYTES: Final = 1024
OVERLOAD: Final = 150
CHOICES: Final = 2

NamedKey = Literal["prompt_prefix", "client_ip"]
NAMED_KEYS: Final[tuple[str, ...]] = get_args(NamedKey)


class HashKey(RegistryPart):
    """A part of a request by which its server is chosen."""

    header: RequestHeaderName | None = Field(
        default=None,
        description="Request header whose value is the key. Either this or `cookie` is needed.",
        examples=["x-session-id"],
    )
    cookie: CookieName | None = Field(
        default=None,
        description="Cookie whose value is the key. Either this or `header` is needed.",
        examples=["session"],
    )


def _check_key(key: object) -> object:
    if key in NAMED_KEYS or key is None or isinstance(key, Mapping | HashKey):
        return key
    raise ValueRefusedError(
        "must be `prompt_prefix`, `client_ip`, or a mapping with `header` or `cookie`",
        "write {header: x-session-id}",
    )


class LoadBalancing(RegistryPart):
    """How Envoy picks one of a pool's healthy servers; the policy's name alone is enough."""

    policy: Policy = Field(
        default="least_request",
        description="How Envoy picks one of the pool's healthy servers for a request.",
    )
    key: Annotated[
        HashKey | NamedKey | None,
        literal_or(NAMED_KEYS, HashKey),
        BeforeValidator(_check_key, json_schema_input_type=HashKey | NamedKey),
    ] = Field(
        default=None,
        description=(
            "What `maglev` or `ring_hash` sends to the same server: `prompt_prefix`, prompts that "
            "begin alike, so that the server finds their beginning in its cache; `client_ip`, the "
            "requests of one address; or those with the same value of a header or cookie."
        ),
        examples=["prompt_prefix", {"header": "x-session-id"}],
    )
    bytes: Size = Field(
        default=PREFIX_BYTES,
        description=(
            "How much of a prompt's beginning counts for `key: prompt_prefix`; the same for all "
            "pools of a file."
        ),
        examples=[1024, "4KiB"],
        json_schema_extra={"default": PREFIX_BYTES},
    )
    overload: Annotated[WholeNumber, Field(ge=100, le=100_000)] = Field(
        default=OVERLOAD,
        description=(
            "With a `key`: a server that has more than this per cent of the average number of "
            "requests in flight passes further ones on to others."
        ),
        examples=[125],
    )
    choices: Annotated[WholeNumber, Field(ge=2, le=1000)] = Field(
        default=CHOICES,
        description=(
            "How many servers, drawn at random, `least_request` compares: the one of them with "
            "the fewest requests in flight gets the next one."
        ),
        examples=[4],
    )


def _from_short_form(value: object) -> object:
    is_long = isinstance(value, Mapping | list | LoadBalancing)
    return value if is_long else {"policy": value}


LoadBalancingEntry = Annotated[
    LoadBalancing, BeforeValidator(_from_short_form, json_schema_input_type=Policy | LoadBalancing)
]
