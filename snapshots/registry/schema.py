"""What may stand in a registry file: format 1, as frozen pydantic models.

The descriptions are read by people: they become the JSON Schema that editors show. Whether the
names of a file fit together is not decided here but in `references`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from snapshots.registry.addresses import Address
from snapshots.registry.fields import (
    AddressText,
    CheckedVersion,
    Duration,
    EndpointAddress,
    ListenAddress,
    Name,
    PathPrefix,
    PositiveDuration,
    RequestPath,
    Size,
    Switch,
    WholeNumber,
    Zone,
    literal_or,
)

MAX_ENDPOINT_WEIGHT: Final = 65535
MAX_SPLIT_WEIGHT: Final = 2**32 - 1
"""Of one pool and of all pools of a split: Envoy adds them up in 32 bits."""

SplitWeight = Annotated[WholeNumber, Field(ge=0, le=MAX_SPLIT_WEIGHT)]


class RegistryPart(BaseModel):
    """What all parts of the file have in common: nothing unknown, nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Gateway(RegistryPart):
    """What one group of Envoys listens on, and which models it exposes."""

    listen: ListenAddress = Field(
        default=Address("0.0.0.0", 10000),  # noqa: S104 - a proxy is there to be reached
        description="Address on which these Envoys accept requests: an IP address and a port.",
        examples=["0.0.0.0:10000", "[::]:10000"],
    )
    node_cluster: Name = Field(
        default="*",
        description=(
            "Which Envoys get this gateway: those with this `node.cluster`, "
            "or `*` for every Envoy that no other gateway names."
        ),
        examples=["*", "edge"],
    )
    models: Annotated[Literal["*"] | tuple[str, ...], literal_or("*", tuple[Name, ...])] = Field(
        default="*",
        description="The models that these Envoys expose: `*` for all, or a list of model names.",
        examples=["*", ["llama-3-2-1b"]],
    )
    response_headers: Switch = Field(
        default=True,
        description=(
            "Whether answers carry `x-gateway-pool` and `x-gateway-endpoint`, "
            "which tell what server answered."
        ),
    )


class Endpoint(RegistryPart):
    """One server of a pool; `host:port` alone is enough."""

    address: EndpointAddress = Field(
        description="Where the server listens: an IP address or a DNS name, and a port.",
        examples=["10.0.0.1:8000", "vllm-1.internal:8000"],
    )
    weight: WholeNumber = Field(
        default=1,
        ge=1,
        le=MAX_ENDPOINT_WEIGHT,
        description="Share of the pool's requests, relative to its other servers.",
    )
    zone: Zone = Field(
        default="",
        description="Where the server stands: the zone of its locality in Envoy.",
        examples=["a"],
    )


def _from_short_form(value: object) -> object:
    return {"address": value} if isinstance(value, str | Address) else value


EndpointEntry = Annotated[
    Endpoint, BeforeValidator(_from_short_form, json_schema_input_type=AddressText | Endpoint)
]


class HealthCheck(RegistryPart):
    """How Envoy finds out whether a server of a pool can take requests."""

    path: RequestPath = Field(
        default="/health", description="Path that answers 200 while the server is healthy."
    )
    interval: PositiveDuration = Field(
        default=timedelta(seconds=15), description="Time between two checks of a server."
    )
    timeout: PositiveDuration = Field(
        default=timedelta(seconds=15), description="Time after which a check has failed."
    )


class Pool(RegistryPart):
    """A group of interchangeable servers of one model."""

    endpoints: tuple[EndpointEntry, ...] = Field(
        description=(
            "The servers: `host:port`, or a mapping with `address`, `weight` and `zone`. "
            "May be empty while no model sends requests here."
        ),
        examples=[["10.0.0.1:8000", "10.0.0.2:8000"]],
    )
    model: Name | None = Field(
        default=None,
        description=(
            "The model name that these servers expect: `model` in the body is rewritten to it. "
            "Without it the body stays as the client sent it."
        ),
        examples=["meta-llama/Llama-3.2-1B-Instruct"],
    )
    adapters: tuple[Name, ...] = Field(
        default=(),
        description=(
            "LoRA adapters that these servers also answer to; each can be requested as a model."
        ),
        examples=[["food-review", "sql-lora"]],
    )
    health_check: Annotated[HealthCheck | Literal[False], literal_or(False, HealthCheck)] = Field(
        default=HealthCheck(),
        description="Active health check of each server, or `false` for none.",
        examples=[{"path": "/health", "interval": "15s", "timeout": "15s"}, False],
    )
    load_balancing: Literal["least_request", "round_robin", "random", "maglev", "ring_hash"] = (
        Field(
            default="least_request",
            description="How Envoy picks one of the pool's healthy servers for a request.",
        )
    )


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
    aliases: tuple[Name, ...] = Field(
        default=(),
        description="Further names for the same model.",
        examples=[["small"]],
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


class Extraction(RegistryPart):
    """How the model name is read from the body of a request."""

    mode: Literal["ext_proc", "native"] = Field(
        default="ext_proc",
        description=(
            "`ext_proc`: the companion beside each Envoy reads it. "
            "`native`: a script inside Envoy does."
        ),
    )
    on_failure: Literal["native", "reject"] = Field(
        default="native",
        description=(
            "While the companion is down: `native` lets Envoy read the name, `reject` answers 503."
        ),
    )
    max_body: Size = Field(
        default=16 * 2**20,
        description="Largest request body; a larger one is answered with 413.",
        examples=["16MiB", 1048576],
        json_schema_extra={"default": "16MiB"},
    )


class Registry(RegistryPart):
    """A registry file: which servers there are, and which model names lead to them."""

    version: Annotated[Literal[1], CheckedVersion] = Field(
        description="Format of this file; there is only 1."
    )
    gateways: dict[Name, Gateway] = Field(
        default={"default": Gateway()},
        min_length=1,
        description="By name, what the groups of Envoys listen on.",
    )
    pools: dict[Name, Pool] = Field(default={}, description="By name, the groups of servers.")
    models: dict[Name, ServedModel] = Field(
        default={}, description="By name, the models that clients can ask for."
    )
    extraction: Extraction = Field(
        default=Extraction(), description="How the model name is read from a request's body."
    )
