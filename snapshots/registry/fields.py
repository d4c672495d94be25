"""How the values of single fields are written, checked and described to editors.

Every type accepts what stands in the file as well as the finished value, and dumps as what stands
in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    Strict,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import core_schema

from snapshots.registry.addresses import (
    ADDRESS_PATTERN,
    HOST_NAME_PATTERN,
    Address,
    is_host_name,
)
from snapshots.registry.names import (
    ADAPTER_PATTERN,
    MAX_NAME_BYTES,
    NAME_PATTERN,
    REQUESTED_PATTERN,
    check_adapter,
    check_name,
    check_requested,
)
from snapshots.registry.paths import MAX_PATH_CHARACTERS, PATH_PATTERN, check_path
from snapshots.registry.problems import ValueRefusedError, code
from snapshots.registry.quantities import (
    DURATION_PATTERN,
    MAX_SIZE,
    SIZE_PATTERN,
    check_size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

T = TypeVar("T")

FORMAT_VERSION: Final = 1
STDOUT: Final = "stdout"
"""Stands for Envoy's standard output where a path of a file may stand."""

WholeNumber = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]


def _check_version(version: object) -> object:
    if type(version) is not int or version != FORMAT_VERSION:
        raise ValueRefusedError("not a known version", "write `version: 1`")
    return version


CheckedVersion: Final = BeforeValidator(_check_version)


def _text_read_by(parse: Callable[[str], T]) -> Callable[[object], object]:
    """Return a validator that parses a text and leaves all else for pydantic to refuse."""

    def read(value: object) -> object:
        return parse(value) if isinstance(value, str) else value

    return read


# --- names and paths ---


def _check_zone(zone: str) -> str:
    return check_name(zone) if zone else zone


def check_request_path(path: str) -> str:
    """Return *path* if it can be requested, or raise `ValueRefusedError`."""
    if not path.startswith("/"):
        raise ValueRefusedError("a path must start with `/`", f"write {code('/' + path)}")
    if not path.isascii() or not path.isprintable() or {" ", "#"} & set(path):
        raise ValueRefusedError(
            f"{code(path)} cannot be requested", "percent-encode spaces and special characters"
        )
    return path


def _check_host_name(name: str) -> str:
    if not is_host_name(name):
        raise ValueRefusedError(f"{code(name)} is not a DNS name", "write models.internal")
    return name


HostName = Annotated[
    str, AfterValidator(_check_host_name), Field(json_schema_extra={"pattern": HOST_NAME_PATTERN})
]
Name = Annotated[
    str,
    AfterValidator(check_name),
    Field(json_schema_extra={"pattern": NAME_PATTERN, "maxLength": MAX_NAME_BYTES}),
]
RequestedName = Annotated[
    str,
    AfterValidator(check_requested),
    Field(json_schema_extra={"pattern": REQUESTED_PATTERN, "maxLength": MAX_NAME_BYTES}),
]
"""Of a model or an alias; a `*` at its end makes it a wildcard."""
AdapterName = Annotated[
    str,
    AfterValidator(check_adapter),
    Field(json_schema_extra={"pattern": ADAPTER_PATTERN, "maxLength": MAX_NAME_BYTES}),
]
Zone = Annotated[
    str, AfterValidator(_check_zone), Field(json_schema_extra={"maxLength": MAX_NAME_BYTES})
]
PathPrefix = Annotated[
    str,
    AfterValidator(check_path),
    Field(json_schema_extra={"pattern": PATH_PATTERN, "maxLength": MAX_PATH_CHARACTERS}),
]
RequestPath = Annotated[
    str,
    AfterValidator(check_request_path),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": "^/[^\\s#]*$"}),
]


# --- headers and cookies ---

FIELD_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
"""A token of RFC 9110, of which names of headers and cookies consist."""
REMOVED: Final = ("x-gateway-", "x-envoy-")
"""How headers begin that no client may send."""
MAX_TOKEN_CHARACTERS: Final = 256


def _check_token(name: str) -> str:
    if not re.fullmatch(FIELD_NAME, name):
        raise ValueRefusedError(
            f"{code(name)} is not a name of a header or cookie", "letters, digits and `-`"
        )
    return name


def _check_request_header(name: str) -> str:
    name = _check_token(name).lower()
    if name.startswith(REMOVED):
        raise ValueRefusedError(
            f"{code(name)} is removed from what clients send", "choose a header of the clients"
        )
    if "_" in name:
        raise ValueRefusedError(
            f"requests with {code(name)} are refused, as servers read `_` and `-` alike",
            f"have clients send {code(name.replace('_', '-'))}",
        )
    return name


_Token = Field(max_length=MAX_TOKEN_CHARACTERS, json_schema_extra={"pattern": FIELD_NAME})
CookieName = Annotated[str, AfterValidator(_check_token), _Token]
RequestHeaderName = Annotated[str, AfterValidator(_check_request_header), _Token]
"""In lower case."""


def _check_log_path(path: str) -> str:
    if path != STDOUT and not (path.startswith("/") and path.isprintable() and path[-1] != "/"):
        raise ValueRefusedError(
            f"{code(path)} is no place for a log", "write `stdout`, an absolute path, or `false`"
        )
    return path


LogPath = Annotated[
    str,
    AfterValidator(_check_log_path),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": "^(stdout|/.*[^/])$"}),
]


# --- addresses ---


def _check_listener(address: Address) -> Address:
    if not address.is_ip:
        raise ValueRefusedError(
            f"{code(address.host)} is not an IP address", "listen on 0.0.0.0 or 127.0.0.1"
        )
    return address


def _check_endpoint(address: Address) -> Address:
    if address.port == 0:
        raise ValueRefusedError("no server can be reached at port 0", "ports are from 1 to 65535")
    return address


AddressText = Annotated[str, Field(pattern=ADDRESS_PATTERN)]
_AnyAddress = Annotated[
    Address,
    GetPydanticSchema(lambda _source, _handler: core_schema.is_instance_schema(Address)),
    BeforeValidator(_text_read_by(Address.parse), json_schema_input_type=AddressText),
    PlainSerializer(str, return_type=str, when_used="json"),
]
ListenAddress = Annotated[_AnyAddress, AfterValidator(_check_listener)]
"""Port 0 is allowed: Envoy then picks one."""
EndpointAddress = Annotated[_AnyAddress, AfterValidator(_check_endpoint)]


# --- durations and sizes ---


def _check_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueRefusedError("must be longer than zero")
    return duration


_DurationText = Annotated[str, Field(pattern=DURATION_PATTERN)]
_SizeText = Annotated[str, Field(pattern=SIZE_PATTERN)]
_SizeNumber = Annotated[int, Field(ge=1, le=MAX_SIZE)]

Duration = Annotated[
    timedelta,
    Strict(),
    BeforeValidator(_text_read_by(parse_duration), json_schema_input_type=_DurationText),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
PositiveDuration = Annotated[Duration, AfterValidator(_check_positive)]
Size = Annotated[
    int,
    Strict(),
    AfterValidator(check_size),
    BeforeValidator(_text_read_by(parse_size), json_schema_input_type=_SizeText | _SizeNumber),
    PlainSerializer(format_size, return_type=str, when_used="json"),
]


# --- one special value beside a type ---


def literal_or(
    literals: str | bool | tuple[str, ...],
    otherwise: Any,  # noqa: ANN401 - a type
) -> GetPydanticSchema:
    """Accept a literal, or one of several, as it is, and anything else as *otherwise*.

    Unlike a pydantic union it does not put the names of its branches in the place of an error.
    """
    known = literals if isinstance(literals, tuple) else (literals,)

    def is_literal(value: object) -> bool:
        return any(type(value) is type(literal) and value == literal for literal in known)

    def validate(value: object, inner: ValidatorFunctionWrapHandler) -> object:
        return value if is_literal(value) else inner(value)

    def dump(value: object, inner: core_schema.SerializerFunctionWrapHandler) -> object:
        return value if is_literal(value) else inner(value)

    def build(_source: object, handler: Any) -> core_schema.CoreSchema:  # noqa: ANN401
        inner = handler.generate_schema(otherwise)
        return core_schema.no_info_wrap_validator_function(
            validate,
            inner,
            serialization=core_schema.wrap_serializer_function_ser_schema(dump, schema=inner),
        )

    def describe(schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"anyOf": [*({"const": literal} for literal in known), handler(schema)]}

    return GetPydanticSchema(build, describe)
