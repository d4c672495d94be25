"""What may stand in an entry of `pools`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from snapshots.registry.addresses import Address
from snapshots.registry.fields import (
    AdapterName,
    AddressText,
    EndpointAddress,
    Name,
    PositiveDuration,
    RequestPath,
    WholeNumber,
    Zone,
    literal_or,
)
from snapshots.registry.schema.headers import Headers
from snapshots.registry.schema.load_balancing import LoadBalancing, LoadBalancingEntry
from snapshots.registry.schema.outlier_detection import OutlierDetection
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.schema.tls import UpstreamTls, UpstreamTlsEntry
from snapshots.registry.url_fields import PathRewrite, Url
from snapshots.registry.urls import ProviderUrl

MAX_ENDPOINT_WEIGHT: Final = 65535
MAX_AT_A_TIME: Final = 1_000_000
MAX_CHECKS: Final = 100


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
        default="/health",
        description="Path that answers with `status` while the server is healthy.",
    )
    interval: PositiveDuration = Field(
        default=timedelta(seconds=15), description="Time between two checks of a server."
    )
    timeout: PositiveDuration = Field(
        default=timedelta(seconds=15), description="Time after which a check has failed."
    )
    unhealthy_after: Annotated[WholeNumber, Field(ge=1, le=MAX_CHECKS)] = Field(
        default=2,
        description=(
            "How many checks in a row must fail, by a time-out or a lost connection, before a "
            "healthy server gets no more requests. A wrong status takes it out at once."
        ),
    )
    healthy_after: Annotated[WholeNumber, Field(ge=1, le=MAX_CHECKS)] = Field(
        default=1,
        description=(
            "How many checks in a row must be good before a server that was taken out gets "
            "requests again. The first check of a new server decides alone."
        ),
    )
    status: Annotated[WholeNumber, Field(ge=200, le=599)] = Field(
        default=200,
        description="What a healthy server answers.",
        examples=[204],
    )


class Pool(RegistryPart):
    """A group of interchangeable servers of one model."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["endpoints"]}, {"required": ["url"]}]}
    )

    endpoints: tuple[EndpointEntry, ...] = Field(
        default=(),
        description=(
            "The servers: `host:port`, or a mapping with `address`, `weight` and `zone`. "
            "May be empty while no model sends requests here. Either this or `url` is needed."
        ),
        examples=[["10.0.0.1:8000", "10.0.0.2:8000"]],
    )
    url: Url | None = Field(
        default=None,
        description=(
            "An external provider, in place of `endpoints`: `https` is TLS with the name verified, "
            "the provider is told its own name as the host, and the path stands for `/v1`. Not "
            "health checked unless `health_check` is given."
        ),
        examples=["https://api.example.com/v1"],
    )
    model: Name | None = Field(
        default=None,
        description=(
            "The model name that these servers expect: `model` in the body is rewritten to it. "
            "Without it the body stays as the client sent it."
        ),
        examples=["meta-llama/Llama-3.2-1B-Instruct"],
    )
    adapters: tuple[AdapterName, ...] = Field(
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
    load_balancing: LoadBalancingEntry = Field(
        default=LoadBalancing(),
        description=(
            "How Envoy picks one of the pool's healthy servers for a request: a policy, or a "
            "mapping with `policy`, and what belongs to it."
        ),
        examples=["least_request", {"policy": "maglev", "key": "prompt_prefix", "bytes": 1024}],
        json_schema_extra={"default": "least_request"},
    )
    max_requests: Annotated[WholeNumber, Field(ge=1, le=MAX_AT_A_TIME)] | None = Field(
        default=None,
        description=(
            "How many requests each Envoy may have at the pool at a time; one more is answered "
            "with 503 at once. Without it there is no bound."
        ),
        examples=[256],
    )
    max_pending: Annotated[WholeNumber, Field(ge=1, le=MAX_AT_A_TIME)] | None = Field(
        default=None,
        description=(
            "How many requests of each Envoy may wait for a connection to the pool at a time; one "
            "more is answered with 503 at once. Without it there is no bound."
        ),
        examples=[64],
    )
    max_critical_requests: Annotated[WholeNumber, Field(ge=1, le=MAX_AT_A_TIME)] | None = Field(
        default=None,
        description=(
            "How many requests of critical models each Envoy may have at the pool at a time, "
            "beside `max_requests`; as many as that, if it is left out."
        ),
        examples=[64],
    )
    shed_at: Annotated[WholeNumber, Field(ge=1, le=MAX_AT_A_TIME)] | None = Field(
        default=None,
        description=(
            "From how many requests of an Envoy at the pool, critical ones included, those of "
            "sheddable models are answered with 429; four fifths of `max_requests`, if it is left "
            "out."
        ),
        examples=[200],
    )
    connect_timeout: PositiveDuration = Field(
        default=timedelta(seconds=5),
        description="Time in which a server must take a connection.",
    )
    outlier_detection: Annotated[
        OutlierDetection | Literal[False], literal_or(False, OutlierDetection)
    ] = Field(
        default=OutlierDetection(),
        description=(
            "When a server is left alone for a time because requests failed there, or `false` for "
            "never."
        ),
        examples=[{"consecutive_5xx": 10, "eject_for": "30s"}, False],
    )
    protocol: Literal["http1", "http2"] = Field(
        default="http1",
        description=(
            "What is spoken with the servers. `http2` sends many requests over one connection; "
            "without `tls` the servers must take it in clear, without an upgrade."
        ),
    )
    headers: Headers = Field(
        default=Headers(),
        description=(
            "Headers that are set or removed for these servers. A request header that is named "
            "here reaches no other pool of the same models."
        ),
        examples=[{"request": {"set": {"x-tier": "gold"}, "remove": ["cookie"]}}],
    )
    path_rewrite: PathRewrite | None = Field(
        default=None,
        description=(
            "What stands for a `/v1` at the beginning of paths, where the servers have their API "
            "elsewhere; `/` cuts it."
        ),
        examples=["/openai/v1"],
    )
    tls: UpstreamTlsEntry = Field(
        default=None,
        description=(
            "Reach the servers by TLS: `true`, or a mapping. Their certificates are verified "
            "always. Without it: in clear."
        ),
        examples=[True, {"ca": "certs/models-ca.pem", "server_name": "models.internal"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _without_health_check(cls, pool: object) -> object:
        """Leave a provider unchecked, unless asked: it has no path for that."""
        if isinstance(pool, Mapping) and "url" in pool:
            return {"health_check": False, **pool}
        return pool

    @property
    def provider(self) -> ProviderUrl | None:
        """The parts of `url`."""
        return ProviderUrl.parse(self.url) if self.url else None

    @property
    def transport_tls(self) -> UpstreamTls | None:
        """How the servers are reached by TLS, by `tls` or by `url`; None: in clear."""
        if self.tls is None and self.provider and self.provider.is_tls:
            return UpstreamTls()
        return self.tls
