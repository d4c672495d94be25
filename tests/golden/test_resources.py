"""What a registry gives, at both joints: the intermediate representation, and Envoy's resources.

A case is a folder with a `registry.yaml`; `make golden` writes the rest of it.
"""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from snapshots.build import SnapshotBuilder
from snapshots.ir.translate import translate
from snapshots.registry.loader import load_registry
from snapshots.registry.mentions import placeholders
from snapshots.render import render
from snapshots.resources.scripts import (
    extraction_script,
    key_script,
    rewrite_script,
    wildcard_script,
)

CASES = Path(__file__).parent / "cases"
EXAMPLE = Path(__file__).parents[2] / "envoy" / "registry.example.yaml"
SCRIPTS = {
    extraction_script(): "(the script that reads the name)",
    key_script(): "(the script that knows the clients)",
    rewrite_script(): "(the script that rewrites the name)",
    wildcard_script(): "(the script that finds wildcards)",
    **{
        extraction_script(name): f"(the script that reads the name, or takes {name})"
        for name in ("exact", "100% ü", "llama-3-2-1b")
    },
}
"""What stands for a script in a golden file, where only its place is of interest."""
ACCEPTED = sorted(
    case.name
    for case in CASES.iterdir()
    if not case.name.endswith("-refused") and (case / "registry.yaml").exists()
)


def outputs(text: bytes) -> dict[str, str]:
    """Return the content of each golden file that the registry *text* gives."""
    registry = load_registry(text, "registry.yaml")
    files = {"ir.yaml": _plain(translate(registry))}
    snapshot = SnapshotBuilder().build(registry, placeholders(registry))
    for cluster, node in snapshot.nodes.items():
        prefix = "" if cluster == "*" else f"{cluster}."
        for section, resources in render(node).items():
            if section == "secrets" and not resources:
                continue
            files[f"{prefix}{section}.yaml"] = _plain(resources)
    return {name: yaml.safe_dump(data, allow_unicode=True) for name, data in files.items()}


def _plain(data):
    if is_dataclass(data):
        # What a registry does not use is not told.
        data = {
            field.name: getattr(data, field.name)
            for field in fields(data)
            if getattr(data, field.name) != field.default
        }
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, str):
        return SCRIPTS.get(data, data)
    return [_plain(item) for item in data] if isinstance(data, list | tuple) else data


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_registry_gives_these_resources(case: str, pytestconfig: pytest.Config):
    folder = CASES / case
    expected = outputs((folder / "registry.yaml").read_bytes())
    if pytestconfig.getoption("--update-golden"):
        for stale in set(folder.iterdir()) - {folder / "registry.yaml"}:
            stale.unlink()
        for name, content in expected.items():
            (folder / name).write_text(content)

    actual = {path.name: path.read_text() for path in folder.iterdir()}
    actual.pop("registry.yaml")

    assert actual == expected


def test_the_example_case_is_the_example_that_users_are_shown():
    assert (CASES / "example" / "registry.yaml").read_bytes() == EXAMPLE.read_bytes()
