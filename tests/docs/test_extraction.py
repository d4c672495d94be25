"""docs/extraction.md tells every difference between the modes, and no other."""

from pathlib import Path

from tests.support.mode_differences import as_markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "extraction.md"


def test_the_table_of_differences_is_the_one_that_is_tested():
    assert as_markdown() + "\n" in DOCUMENT.read_text(encoding="utf-8") + "\n"
