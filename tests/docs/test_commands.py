"""Every command and every flag that a document shows exists, be it run there or not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from tests.docs.blocks import shown_path
from tests.docs.test_documents import DOCUMENTS
from xds_server.cli import COMMANDS, main

SHOWN = re.compile(r"\bmodelyard (?P<command>[a-z][a-z-]+\b)(?!:)(?P<rest>[^\n`|;&]*)")
FLAG = re.compile(r"(?<=\s)--[a-z][a-z-]+\b")
OF_EACH = {"--help"}


def shown_commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command that *text* shows in code, with its flags; a line may go on below."""
    code = re.findall(r"^ *```.*?^ *```$|`[^`\n]+`", text, re.DOTALL | re.MULTILINE)
    for part in code:
        for found in SHOWN.finditer(re.sub(r"\\\n\s*", " ", part)):
            yield found["command"], FLAG.findall(found["rest"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown_path)
def test_the_commands_and_flags_that_are_shown_exist(document):
    context = click.Context(main)
    for name, flags in shown_commands(document.read_text()):
        assert name in COMMANDS, f"modelyard {name}"
        options = main.get_command(context, name).params
        known = {flag for one in options for flag in (*one.opts, *one.secondary_opts)}
        assert set(flags) <= known | OF_EACH, f"modelyard {name}: {set(flags) - known}"


def test_commands_are_found_over_the_end_of_a_line_and_in_prose():
    text = "`modelyard wait --nodes 2`\n```bash\nmodelyard plan a \\\n  --json && x --y\n```\n"

    assert sorted(shown_commands(text)) == [("plan", ["--json"]), ("wait", ["--nodes"])]
