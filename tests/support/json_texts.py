"""JSON texts for hypothesis: as many ways to write one as there are."""

from __future__ import annotations

import json

from hypothesis import strategies as st

WHITE_SPACE = st.text(" \t\r\n", max_size=3)
CHARACTERS = st.characters(exclude_categories=("Cs",))
SOME_TEXT = st.text(CHARACTERS, max_size=8)
DECOYS = st.sampled_from(["model", "Model", "models", "odel", '"model":', "\\", "messages"])


def ways_to_write(character: str) -> st.SearchStrategy[str]:
    """Draw one of the ways in which a JSON string may hold *character*."""
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    units = character.encode("utf-16-be").hex()
    escaped = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    ways = [plain, escaped, escaped.upper().replace("\\U", "\\u")]
    return st.sampled_from([*ways, "\\/"] if character == "/" else ways)


@st.composite
def strings(draw, texts=DECOYS | SOME_TEXT):
    """Draw a JSON string that says one of *texts*."""
    return '"' + "".join(draw(ways_to_write(character)) for character in draw(texts)) + '"'


@st.composite
def members(draw, keys, values):
    """Draw one member of an object."""
    return f"{draw(keys)}{draw(WHITE_SPACE)}:{draw(WHITE_SPACE)}{draw(values)}"


@st.composite
def containers(draw, values):
    """Draw an array or an object of *values*."""
    is_array = draw(st.booleans())
    items = draw(st.lists(values if is_array else members(strings(), values), max_size=3))
    inside = ",".join(f"{draw(WHITE_SPACE)}{item}{draw(WHITE_SPACE)}" for item in items)
    return f"[{inside}]" if is_array else f"{{{inside}}}"


NUMBERS = ["-1.5e3", "0", "-0", "1E+2", "12345678901234567890123", "NaN", "-Infinity", "Infinity"]
SCALARS = st.sampled_from(["null", "true", "false", *NUMBERS]) | strings()
VALUES = st.recursive(SCALARS, containers, max_leaves=6)
MODEL_KEYS = strings(st.just("model"))
OTHER_KEYS = strings().filter(lambda key: json.loads(key) != "model")


def object_of(items: list[str], spaces: list[str]) -> str:
    """Write an object of *items*; it needs two *spaces* for each of them, and two more."""
    between = zip(spaces[::2], items, spaces[1::2], strict=False)
    inside = ",".join(f"{left}{item}{right}" for left, item, right in between)
    return f"{spaces[-2]}{{{inside}}}{spaces[-1]}"


@st.composite
def objects(draw, some_members):
    """Draw an object of a few of *some_members*."""
    items = draw(st.lists(some_members, max_size=4))
    return object_of(items, [draw(WHITE_SPACE) for _ in range(2 * len(items) + 2)])
