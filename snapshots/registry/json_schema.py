"""What editors need to complete and check a registry file: the JSON Schema of the format."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from snapshots.registry.addresses import Address
from snapshots.registry.quantities import format_duration
from snapshots.registry.schema import Registry


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of format 1, with every short form of the file."""
    schema = Registry.model_json_schema(schema_generator=_FileSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "Modelyard registry"}


class _FileSchema(GenerateJsonSchema):
    """Describe the file, not the Python objects: no nulls, durations as they are written."""

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", None) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    @override
    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, Address):
            return str(dft)
        return _without_nulls(super().encode_default(dft))

    @override
    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        # pydantic would describe the values of well-formed names only, and let the others pass.
        described = super().dict_schema(schema)
        for pattern, values in described.pop("patternProperties", {}).items():
            described["additionalProperties"] = values
            described["propertyNames"] = {**described.get("propertyNames", {}), "pattern": pattern}
        return described

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title that repeats the field's name tells nothing


def _without_nulls(plain: Any) -> Any:  # noqa: ANN401 - what JSON can say
    """Return *plain* without the fields of mappings that are not there."""
    if isinstance(plain, dict):
        return {key: _without_nulls(value) for key, value in plain.items() if value is not None}
    return plain
