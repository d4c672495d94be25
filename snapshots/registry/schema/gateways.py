"""What may stand in an entry of `gateways`, and in `extraction`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from snapshots.node_selector import NodeSelector
from snapshots.registry.addresses import Address
from snapshots.registry.fields import (
    ListenAddress,
    LogPath,
    Name,
    Size,
    Switch,
    WholeNumber,
    literal_or,
)
from snapshots.registry.schema.limits import Limits
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.schema.tls import ListenerTls

MAX_TRUSTED_HOPS: Final = 10


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
    node_id: Name = Field(
        default="*",
        description=(
            "Of those, which get it: those whose `node.id` matches this pattern, in which `*` "
            "stands for any characters."
        ),
        examples=["*", "edge-*"],
    )
    node_metadata: dict[str, str] = Field(
        default={},
        description=(
            "Of those, which get it: those whose `node.metadata` has these texts under these keys."
        ),
        examples=[{"zone": "a"}],
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
    access_log: Annotated[str | Literal[False], literal_or(False, LogPath)] = Field(
        default=False,
        description=(
            "Where these Envoys write a line of JSON for each request: `stdout`, the absolute "
            "path of a file, or `false` for nowhere."
        ),
        examples=["stdout", "/var/log/envoy/access.log", False],
    )
    tls: ListenerTls | None = Field(
        default=None,
        description="Accept requests by TLS only, with this certificate; without it: in clear.",
        examples=[{"certificate": "certs/gateway.pem", "key": "certs/gateway.key"}],
    )
    trusted_hops: WholeNumber = Field(
        default=0,
        ge=0,
        le=MAX_TRUSTED_HOPS,
        description=(
            "How many proxies stand between clients and these Envoys. They tell by "
            "`x-forwarded-for` where a request came from; with 0, nobody's word on that counts."
        ),
        examples=[0, 1],
    )
    limits: Limits = Field(
        default=Limits(),
        description="What one client may take of these Envoys; the defaults suit most.",
    )

    @property
    def nodes(self) -> NodeSelector:
        """Which Envoys get this gateway."""
        metadata = tuple(sorted(self.node_metadata.items()))
        return NodeSelector(self.node_cluster, self.node_id, metadata)


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
