"""What README.md and docs/ show is true: blocks run, registries load, links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from snapshots.registry.loader import load_registry
from tests.docs.blocks import ROOT, Block, read_blocks, shown_path
from tests.docs.shell import Shell

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("envoy/**/*.md")])
BLOCKS = [block for document in DOCUMENTS for block in read_blocks(document) if block.is_run]
LINK = re.compile(r"\[[^\]]+\]\((?!\w+:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]*))?\)")


def each(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.place)


@each([b for b in BLOCKS if b.language == "yaml" and b.text.startswith("version: 1\n")])
def test_a_registry_that_is_shown_loads(block):
    load_registry(block.text.encode(), block.place)


@each([b for b in BLOCKS if b.language == "python"])
def test_a_python_block_runs(block, tmp_path):
    command = [sys.executable, "-c", block.text]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown_path)
def test_the_commands_work_as_typed(document, tmp_path):
    script = [b for b in BLOCKS if b.document == document and b.language in {"bash", "text"}]
    if not any(block.language == "bash" for block in script):
        return
    if shutil.which("curl") is None and "CI" not in os.environ:
        pytest.skip("curl is not installed")

    is_example = ROOT / "envoy" / "examples" in document.parents
    with Shell(ROOT if is_example else tmp_path) as shell:
        for block, below in pairwise([*script, None]):
            if block.language == "bash":
                is_output = below is not None and below.language == "text"
                shell.run(block, below if is_output else None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown_path)
def test_links_inside_the_repository_lead_somewhere(document):
    for link in LINK.finditer(document.read_text()):
        target = document.parent / link["path"] if link["path"] else document

        assert target.exists(), link[0]
        if link["heading"]:
            assert link["heading"] in headings(target), link[0]


def headings(document: Path) -> set[str]:
    """Return the anchors of the headings of *document*, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
