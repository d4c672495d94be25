"""docs/registry.md names every field of the file with its default, and nothing else."""

from __future__ import annotations

import re

import pytest
import yaml

from snapshots.registry.json_schema import json_schema
from snapshots.registry.loader import load_registry
from snapshots.registry.shape import parts
from tests.docs.blocks import read_blocks
from tests.docs.shell import ROOT

PAGE = ROOT / "docs" / "registry.md"
EXAMPLE = ROOT / "envoy" / "registry.example.yaml"
HEADING = re.compile(r"^#+ (?:The file$|.*: `(?P<place>[a-z_.*]+)`$)")
ROW = re.compile(r"^\| `(?P<field>\w+)` \| .* \| (?P<default>[^|]+) \| [^|]+ \|$")


def documented():
    """Return the default of each field, as the page writes it, by the place of its table."""
    tables: dict[str, dict[str, str]] = {}
    place = None
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            heading = HEADING.match(line)
            place = (heading["place"] or "") if heading else None
        elif place is not None and (row := ROW.match(line)):
            tables.setdefault(place, {})[row["field"]] = row["default"].strip("`")
    return tables


def described(part):
    """Return the JSON Schema of *part*."""
    schema = json_schema()
    return schema["$defs"].get(part.__name__, schema)


PARTS = [(".".join("*" if step is None else step for step in path), part) for path, part in parts()]


def test_every_part_of_the_file_has_a_table_and_no_other():
    assert set(documented()) == {place for place, _part in PARTS}


@pytest.mark.parametrize(("place", "part"), PARTS, ids=str)
def test_every_field_is_named_in_the_order_of_the_schema(place, part):
    assert list(documented()[place]) == list(part.model_fields)


@pytest.mark.parametrize(
    ("place", "part", "field"), [(*part, name) for part in PARTS for name in part[1].model_fields]
)
def test_every_default_is_the_one_of_the_schema(place, part, field):
    schema = described(part)
    written = documented()[place][field]

    if field in schema.get("required", ()):
        assert written == "required"
    elif "default" not in schema["properties"][field]:
        assert written == "none"
    else:
        assert yaml.safe_load(written) == schema["properties"][field]["default"]


def test_the_page_shows_registries():
    shown = [b for b in read_blocks(PAGE) if b.language == "yaml" and b.text.startswith("version:")]

    assert len(shown) >= 5


def test_the_example_names_every_field():
    registry = load_registry(EXAMPLE.read_bytes(), str(EXAMPLE))
    named = set(re.findall(r"\b(\w+):", EXAMPLE.read_text()))

    assert registry.models
    assert {name for _place, part in PARTS for name in part.model_fields} <= named
