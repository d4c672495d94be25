"""What may stand in `auth`: who may use a gateway, and what servers are shown."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field

from snapshots.registry.fields import Name, literal_or
from snapshots.registry.problems import ValueRefusedError, code
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.schema.rate_limit import RateLimit
from snapshots.registry.secret_fields import (
    SecretHeaderName,
    SecretPrefix,
    SourceName,
    VariableName,
)

CLIENT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}$"


def _check_client(name: str) -> str:
    if not re.fullmatch(CLIENT_PATTERN, name):
        raise ValueRefusedError(
            f"{code(name)} is no name of a client",
            "at most 64 letters and digits of ASCII, and `.`, `_`, `@` or `-` behind the first",
        )
    return name


def _check_sha256(digits: str) -> str:
    if not re.fullmatch(SHA256_PATTERN, digits):
        raise ValueRefusedError(  # which may be the key itself, so it is not repeated
            "not a SHA-256 of 64 digits from 0 to 9 and a to f",
            "printf %s KEY | sha256sum, without a line feed behind the key",
        )
    return digits


ClientName = Annotated[
    str, AfterValidator(_check_client), Field(json_schema_extra={"pattern": CLIENT_PATTERN})
]


class Client(RegistryPart):
    """Who shows a key, and what that key opens."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["key_file"]},
                {"required": ["key_env"]},
                {"required": ["key_sha256"]},
            ]
        }
    )

    key_file: SourceName | None = Field(
        default=None,
        description=(
            "File that holds the key and nothing else; a relative path starts at the registry's "
            "folder. A changed file takes effect at once."
        ),
        examples=["keys/team-a"],
    )
    key_env: VariableName | None = Field(
        default=None,
        description="Variable in the control plane's environment that holds the key.",
        examples=["TEAM_A_KEY"],
    )
    key_sha256: Annotated[str, AfterValidator(_check_sha256)] | None = Field(
        default=None,
        description="SHA-256 of the key, in lower-case hexadecimal digits; the key is nowhere.",
        examples=["9b74c9897bac770ffc029102a200c5de2b6b2c2f7d1d9f5b8f6b9a3f4c7a9e10"],
        json_schema_extra={"pattern": SHA256_PATTERN},
    )
    models: Annotated[Literal["*"] | tuple[str, ...], literal_or("*", tuple[Name, ...])] = Field(
        default="*",
        description=(
            "What this client may ask for: `*` for everything, or a list of models, with which "
            "their aliases and paths come, and of adapters."
        ),
        examples=["*", ["llama-3-2-1b"]],
    )
    rate_limit: RateLimit | None = Field(
        default=None,
        description=(
            "How many requests this client may send to each Envoy, for whichever model; what goes "
            "beyond is answered with 429."
        ),
        examples=[{"requests_per_second": 10, "burst": 20}],
    )


AUTHORIZATION: Final = "authorization"
BEARER: Final = "Bearer "


class UpstreamAuth(RegistryPart):
    """What the servers of a pool are shown."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["value_file"]}, {"required": ["value_env"]}]}
    )

    header: SecretHeaderName = Field(
        default=AUTHORIZATION,
        description="The request header that the servers expect it in.",
        examples=["authorization", "x-api-key"],
    )
    value_file: SourceName | None = Field(
        default=None,
        description=(
            "File that holds the secret and nothing else; a relative path starts at the registry's "
            "folder. A changed file takes effect at once."
        ),
        examples=["secrets/provider"],
    )
    value_env: VariableName | None = Field(
        default=None,
        description="Variable in the control plane's environment that holds the secret.",
        examples=["PROVIDER_KEY"],
    )
    prefix: SecretPrefix | None = Field(
        default=None,
        description=(
            "What stands before the secret in the header; without it `Bearer ` for "
            "`authorization`, and nothing for any other header."
        ),
        examples=["Bearer ", ""],
    )

    @property
    def written_prefix(self) -> str:
        """What stands before the secret."""
        if self.prefix is not None:
            return self.prefix
        return BEARER if self.header == AUTHORIZATION else ""


class Auth(RegistryPart):
    """Who may use the gateways, and what these show to the servers."""

    clients: dict[ClientName, Client] | None = Field(
        default=None,
        min_length=1,
        description=(
            "By name, who may use the gateways. While there is one, a request without the key "
            "of one of them is answered with 401."
        ),
    )
    upstream: dict[Name, UpstreamAuth] | None = Field(
        default=None,
        min_length=1,
        description=(
            "By the name of a pool, the secret that its servers are shown with each request. "
            "Neither clients nor the servers of other pools get it."
        ),
    )
