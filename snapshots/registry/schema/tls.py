"""What may stand in `tls` of a gateway or of a pool."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from snapshots.registry.fields import HostName, Switch
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.secret_fields import SourceName


class ListenerTls(RegistryPart):
    """How a gateway proves who it is, and may ask its clients to."""

    certificate: SourceName = Field(
        description=(
            "File with the gateway's certificate and those between it and its authority (PEM). "
            "Relative to the folder of the registry file, as are all files."
        ),
        examples=["certs/gateway.pem"],
    )
    key: SourceName = Field(
        description="File with the private key of the certificate (PEM, without a password).",
        examples=["certs/gateway.key"],
    )
    client_ca: SourceName | None = Field(
        default=None,
        description="File with the authorities (PEM) that sign the certificates of clients.",
        examples=["certs/clients-ca.pem"],
    )
    require_client_certificate: Switch = Field(
        default=True,
        description=(
            "With `client_ca`: whether a client without a certificate is turned away. "
            "One with a certificate of another authority always is."
        ),
    )
    min_version: Literal["1.2", "1.3"] = Field(
        default="1.2", description="The oldest version of TLS that clients may use."
    )


class UpstreamTls(RegistryPart):
    """How a pool's servers are reached by TLS; `true` alone is enough for public DNS names."""

    ca: SourceName | None = Field(
        default=None,
        description=(
            "File with the authorities (PEM) that sign the servers' certificates. "
            "Without it: those that the control plane's machine trusts."
        ),
        examples=["certs/models-ca.pem"],
    )
    server_name: HostName | None = Field(
        default=None,
        description=(
            "The DNS name that the servers' certificates must hold; it is also sent as SNI. "
            "Without it: each server's own name, so it is needed where an endpoint is an IP "
            "address."
        ),
        examples=["models.internal"],
    )
    certificate: SourceName | None = Field(
        default=None,
        description="File with the certificate (PEM) that the gateway shows to the servers.",
        examples=["certs/gateway-client.pem"],
    )
    key: SourceName | None = Field(
        default=None,
        description="File with the private key of `certificate` (PEM, without a password).",
        examples=["certs/gateway-client.key"],
    )


def _from_switch(value: object) -> object:
    return {} if value is True else None if value is False else value


UpstreamTlsEntry = Annotated[
    UpstreamTls | None, BeforeValidator(_from_switch, json_schema_input_type=bool | UpstreamTls)
]
