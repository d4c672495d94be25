"""A whole registry file."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from snapshots.registry.fields import CheckedVersion, Duration, Name, RequestedName
from snapshots.registry.schema.auth import Auth
from snapshots.registry.schema.gateways import Extraction, Gateway
from snapshots.registry.schema.models import ServedModel
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.schema.pools import Pool

DRAIN = timedelta(seconds=60)


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
    models: dict[RequestedName, ServedModel] = Field(
        default={},
        description=(
            "By name, the models that clients can ask for. A name that ends with `*` stands for "
            "every name that begins like it and is not in the file."
        ),
    )
    default_model: Name | None = Field(
        default=None,
        description=(
            "The model, alias or adapter that requests get whose body has no `model` at all. "
            "Without it they are answered with 400."
        ),
        examples=["llama-3-2-1b"],
    )
    extraction: Extraction = Field(
        default=Extraction(), description="How the model name is read from a request's body."
    )
    drain: Duration = Field(
        default=DRAIN,
        description=(
            "How long a pool or server that leaves this file is kept for the requests that it is "
            "at work for, at most; `0s`: not at all."
        ),
        examples=["60s"],
    )
    auth: Auth = Field(
        default=Auth(), description="Who may use the gateways; anybody, if it is left out."
    )
