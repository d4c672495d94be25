from tests.benchmarks.report import Report, Section, Table, Target, markdown, table_of


def test_a_table_aligns_figures_to_the_right_and_text_to_the_left():
    table = Table(("way", "models", "ms"), [("a", "10", "0.50"), ("longer", "1,000", "1,234")])

    assert table_of(table).splitlines() == [
        "| way    | models |    ms |",
        "| ------ | -----: | ----: |",
        "| a      |     10 |  0.50 |",
        "| longer |  1,000 | 1,234 |",
    ]


def test_a_cell_cannot_break_its_table():
    table = Table(("error",), [("a | b\nc",)])

    assert "| a \\| b c |" in table_of(table)


def test_a_section_tells_method_tables_and_remarks_in_this_order():
    section = Section("Speed", "How.", [Table(("n",), [("1",)], "In ms:")], remarks=["Noisy."])

    text = markdown(section)

    assert text.startswith("## Speed\n\nHow.\n\nIn ms:\n\n|   n |")
    assert text.endswith("\n- Noisy.\n")


def test_a_report_begins_with_the_targets_and_ends_with_the_machine():
    targets = [Target("fast ≤ 1 s", "0.5 s", met=True), Target("lost: 0", "3", met=False)]
    sections = [Section("Speed", "How.", [], targets)]

    text = Report([("Python", "3.11")], "make bench", sections, "## Tried\n").markdown()

    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Benchmarks",
        "## Targets",
        "## Speed",
        "## Tried",
        "## The machine",
    ]
    assert "| fast ≤ 1 s | 0.5 s    | yes    |" in text
    assert "| **no** |" in text
    assert text.endswith("Command: `make bench`\n")


def test_a_report_without_targets_has_no_list_of_them():
    assert "Targets" not in Report([], "make bench", [Section("Speed", "How.", [])]).markdown()
