from __future__ import annotations

import pytest

from snapshots.registry.comparison import NOT_SHOWN, compare
from snapshots.registry.loader import load_registry

BEFORE = """\
version: 1
pools:
  a: {endpoints: [10.0.0.1:8000, {address: 10.0.0.2:8000, zone: x}], model: org/a}
  b: {endpoints: [10.0.0.9:8000]}
  c: {endpoints: [10.0.0.8:8000]}
  d: {endpoints: [10.0.0.7:8000]}
models:
  small: {pool: a, aliases: [tiny, little]}
  auto: {split: {a: 70, b: 30}, fallback: [c, d]}
auth:
  clients:
    team: {key_sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae}
"""


def changes(*edits: tuple[str, str], before: str = BEFORE) -> list[str]:
    after = before
    for old, new in edits:
        assert old in after
        after = after.replace(old, new)
    return [
        line
        for entry in compare(
            load_registry(before.encode(), "a"), load_registry(after.encode(), "b")
        )
        for line in (
            f"{entry.what} {entry.section} {entry.name} {entry.summary}".rstrip(),
            *(f"  {f.what} {f.field}: {f.before} -> {f.after}" for f in entry.fields),
        )
    ]


def test_two_ways_to_write_the_same_differ_in_nothing():
    assert changes(("10.0.0.9:8000", "{address: 10.0.0.9:8000, weight: 1}")) == []
    assert changes(("pool: a, aliases", "pool: a, timeout: 5m, aliases")) == []


def test_the_order_of_what_has_none_is_no_difference():
    assert changes(("[tiny, little]", "[little, tiny]")) == []
    assert changes(("{a: 70, b: 30}", "{b: 30, a: 70}")) == []


def test_the_order_of_fallbacks_is():
    assert changes(("[c, d]", "[d, c]")) == [
        "changed models auto",
        "  changed fallback: [c, d] -> [d, c]",
    ]


def test_weights_are_told_pool_by_pool():
    assert changes(("b: 30", "b: 50, e: 0"), ("  b: {", "  e: {endpoints: [h:1]}\n  b: {")) == [
        "changed models auto",
        "  changed split.b: 30 -> 50",
        "  added split.e:  -> 0",
        "added pools e {endpoints: ['h:1']}",
    ]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (("little]", "wee]"), {"removed aliases: little ->", "added aliases:  -> wee"}),
        (("pool: a, aliases", "pool: b, aliases"), {"changed pool: a -> b"}),
        ((", model: org/a", ""), {"removed model: org/a ->"}),
        (("zone: x", "weight: 3"), {
            "changed endpoints.10.0.0.2:8000.weight: 1 -> 3",
            "removed endpoints.10.0.0.2:8000.zone: x ->",
        }),
        (("10.0.0.1:8000, ", ""), {"removed endpoints: 10.0.0.1:8000 ->"}),
        (("10.0.0.9:8000", "10.0.0.9:8000, {address: h:1, weight: 2, zone: z}"), {
            "added endpoints:  -> h:1, weight 2, zone z"
        }),
    ],
)  # fmt: skip
def test_a_field_is_told_by_what_became_of_it(edit, told):
    assert {line.strip() for line in changes(edit)[1:]} == told


def test_an_entry_that_comes_or_goes_is_told_as_it_is_written():
    gone = ("  auto: {split: {a: 70, b: 30}, fallback: [c, d]}\n", "  new: {pool: b}\n")

    assert changes(gone) == [
        "removed models auto {split: {a: 70, b: 30}, fallback: [c, d]}",
        "added models new {pool: b}",
    ]


def test_a_setting_of_the_whole_file_is_told():
    assert changes(
        ("models:\n", "default_model: small\nextraction: {mode: native}\nmodels:\n")
    ) == [
        "changed settings default_model",
        "  added :  -> small",
        "changed settings extraction",
        "  changed mode: ext_proc -> native",
    ]


def test_a_key_is_never_shown():
    digest = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
    changed = changes(("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", digest))
    added = changes(("clients:\n", f"clients:\n    new: {{key_sha256: {digest}}}\n"))

    assert changed[1:] == [f"  changed key_sha256: {NOT_SHOWN} -> {NOT_SHOWN}"]
    assert added == [f"added auth.clients new {{key_sha256: {NOT_SHOWN}}}"]
