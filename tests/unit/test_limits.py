"""No file and no function of the packages grows past what can be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for name in ("snapshots", "xds_server") for path in (ROOT / name).rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
# Path, or path:function, that may be longer, with the reason.
EXCEPTIONS: dict[str, str] = {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_are_short(path):
    text = path.read_text()
    name = str(path.relative_to(ROOT))
    lengths = {name: (text.count("\n"), MAX_FILE_LINES)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            lengths[f"{name}:{node.name}"] = node.end_lineno - node.lineno + 1, MAX_FUNCTION_LINES

    too_long = {place for place, (lines, limit) in lengths.items() if lines > limit}
    assert too_long - EXCEPTIONS.keys() == set()
