"""What editors are told of the file."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from snapshots.registry.json_schema import json_schema
from snapshots.registry.loader import RegistryError, load_registry

ROOT = Path(__file__).parents[4]
SCHEMA = json_schema()
FOR_EDITORS = jsonschema.Draft202012Validator(SCHEMA)


def errors(document):
    return [error.message for error in FOR_EDITORS.iter_errors(document)]


def test_it_is_a_json_schema_of_2020_12():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_it_accepts_the_example_with_its_short_forms():
    text = (ROOT / "envoy" / "registry.example.yaml").read_text()
    example = yaml.safe_load(text.replace(" on:", ' "on":'))  # as YAML 1.2 reads it

    assert not errors(example)


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "pools": {"a": {"endpoints": ["a:1", {"address": "[::1]:1"}]}}},
        {"version": 1, "pools": {"a": {"endpoints": [], "health_check": False}}},
        {"version": 1, "gateways": {"a": {"models": ["b"], "listen": "[::]:0"}}},
        {"version": 1, "extraction": {"max_body": 1048576}},
        {"version": 1, "extraction": {"max_body": "1MB"}},
        {"version": 1, "models": {"a": {"split": {"b": 0, "c": 1}, "timeout": "0s"}}},
    ],
)
def test_it_accepts_each_form_of_a_value(document):
    assert not errors(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        {"version": 1, "colour": "red"},
        {"version": 1, "pools": {"a": {}}},
        {"version": 1, "pools": {"": {"endpoints": []}}},
        {"version": 1, "pools": {"a": {"endpoints": [8000]}}},
        {"version": 1, "pools": {"a": {"endpoints": ["a"]}}},
        {"version": 1, "pools": {"a": {"endpoints": [], "model": None}}},
        {"version": 1, "pools": {"a": {"endpoints": [], "health_check": True}}},
        {"version": 1, "models": {"a": {}}},
        {"version": 1, "models": {"a": {"pool": "b", "split": {"b": 1}}}},
        {"version": 1, "models": {"a": {"split": {}}}},
        {"version": 1, "models": {"a": {"pool": "b", "timeout": 300}}},
        {"version": 1, "models": {"a": {"pool": "b", "paths": ["v1"]}}},
        {"version": 1, "gateways": {}},
        {"version": 1, "gateways": {"a": {"models": "b"}}},
        {"version": 1, "extraction": {"mode": "lua"}},
    ],
)
def test_it_shows_in_the_editor_what_would_be_refused(document):
    assert errors(document)
    with pytest.raises(RegistryError):
        load_registry(yaml.safe_dump(document).encode(), "registry.yaml")


@pytest.mark.parametrize(
    "node", [SCHEMA, *SCHEMA["$defs"].values()], ids=lambda node: node["title"]
)
def test_every_default_is_written_as_in_the_file(node):
    wrong = {
        name: field["default"]
        for name, field in node["properties"].items()
        if "default" in field
        and not jsonschema.Draft202012Validator({**field, "$defs": SCHEMA["$defs"]}).is_valid(
            field["default"]
        )
    }

    assert not wrong


def test_a_null_is_nowhere_offered():
    assert "null" not in str(SCHEMA)
    assert "None" not in str(SCHEMA)
