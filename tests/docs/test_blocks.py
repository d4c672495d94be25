"""The convention by which documents are run."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Block, read_blocks
from tests.docs.shell import BlockError, FreePorts, Shell, pattern


def document(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def bash(tmp_path, text):
    return Block(tmp_path / "page.md", 1, "bash", text, is_run=True)


def test_a_block_has_its_language_its_line_and_its_text(tmp_path):
    (block,) = read_blocks(document(tmp_path, "# T\n\n```yaml\na: 1\nb: 2\n```\n"))

    assert (block.place, block.language, block.text) == ("page.md:3", "yaml", "a: 1\nb: 2\n")


def test_a_block_in_a_list_loses_the_indent(tmp_path):
    (block,) = read_blocks(document(tmp_path, "1. one\n\n   ```bash\n   ls\n     -l\n   ```\n"))

    assert block.text == "ls\n  -l\n"


def test_a_reason_exempts_the_next_block_only(tmp_path):
    text = "<!-- not run: needs a cluster -->\n\n```bash\none\n```\n\n```bash\ntwo\n```\n"

    assert [b.is_run for b in read_blocks(document(tmp_path, text))] == [False, True]


def test_an_exemption_without_a_reason_exempts_nothing(tmp_path):
    (block,) = read_blocks(document(tmp_path, "<!-- not run: -->\n```bash\none\n```\n"))

    assert block.is_run


def test_an_open_block_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"page\.md:1: the block is not closed"):
        list(read_blocks(document(tmp_path, "```bash\none\n")))


def test_a_port_is_replaced_by_the_same_free_one_everywhere():
    ports = FreePorts()

    first, second = ports.replace("127.0.0.1:8001 0.0.0.0:8001").split()

    assert first.removeprefix("127.0.0.1:") == second.removeprefix("0.0.0.0:")
    assert ports.replace("10.0.0.1:8001") == "10.0.0.1:8001"


@pytest.mark.parametrize(
    ("expected", "printed", "is_found"),
    [
        ("one\n", "one\n", True),
        ("one\ntwo\n", "one\nbetween\ntwo\n", True),
        ("one\ntwo\n", "two\none\n", False),
        ("id ... ok\n", "id 17 ok\n", True),
        ("one\n", "one more\n", False),
        ("revision 58ac5eeb45ce2262 (0.02 s)\n", "revision 00000000ffffffff (1 s)\n", True),
        ("revision 58ac5eeb45ce2262\n", "revision none\n", False),
        ("at 2026-02-03 04:05:06 x\n", "at 2027-12-31 23:59:59 x\n", True),
        ("  421 bytes\n", "  1,033 bytes\n", True),
        ("2 servers\n", "3 servers\n", False),
    ],
)
def test_expected_lines_are_found_in_their_order(expected, printed, is_found):
    assert bool(pattern(expected).search(printed)) == is_found


def test_a_shell_keeps_what_a_block_set_and_started(tmp_path):
    with Shell(tmp_path) as shell:
        shell.run(bash(tmp_path, "word=kept\nsleep 60 &\n"), None)
        expected = Block(tmp_path / "page.md", 9, "text", "kept\nRunning\n", is_run=True)
        shell.run(bash(tmp_path, "echo $word; jobs | grep -o Running\n"), expected)


def test_a_command_that_fails_in_the_middle_fails_its_block(tmp_path):
    with Shell(tmp_path) as shell, pytest.raises(BlockError, match=r"page\.md:1 failed:\nseen"):
        shell.run(bash(tmp_path, "echo seen; false\ntrue\n"), None)
