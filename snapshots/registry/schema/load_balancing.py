"""What may stand in `load_balancing` of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field

from snapshots.registry.fields import Size
from snapshots.registry.schema.part import RegistryPart

Policy = Literal["least_request", "round_robin", "random", "maglev", "ring_hash"]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)
HASHING_POLICIES: Final = ("maglev", "ring_hash")
"""Those that send what has the same key to the same server."""
PREFIX_BYTES: Final = 1024


class LoadBalancing(RegistryPart):
    """How Envoy picks one of a pool's healthy servers; the policy's name alone is enough."""

    policy: Policy = Field(
        default="least_request",
        description="How Envoy picks one of the pool's healthy servers for a request.",
    )
    key: Literal["prompt_prefix"] | None = Field(
        default=None,
        description=(
            "What `maglev` or `ring_hash` sends to the same server: `prompt_prefix`, prompts that "
            "begin alike, so that the server finds their beginning in its cache."
        ),
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


def _from_short_form(value: object) -> object:
    is_long = isinstance(value, Mapping | list | LoadBalancing)
    return value if is_long else {"policy": value}


LoadBalancingEntry = Annotated[
    LoadBalancing, BeforeValidator(_from_short_form, json_schema_input_type=Policy | LoadBalancing)
]
