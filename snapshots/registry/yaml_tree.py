"""The tree of a YAML text, with the place of every node.

Works on the events of PyYAML's C parser and not on its composer, which recurses in C: a file that
nests deeply enough would crash the process. Here depth and size are bounded while parsing, with
every alias counted as the copy that it stands for. Knows nothing of registries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from snapshots.registry.problems import code

MAX_DEPTH: Final = 32
"""Lists and mappings within each other; a registry needs 7."""
MAX_NODES: Final = 1_000_000
"""In a file; its aliases count as the nodes that they stand for."""

MERGE_TAG: Final = "tag:yaml.org,2002:merge"
STRING_TAG: Final = "tag:yaml.org,2002:str"

_IMPLICIT: Final = yaml.SafeLoader.yaml_implicit_resolvers
_COLLECTION_TAGS: Final = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class YamlError(Exception):
    """A text that is not YAML, or YAML that is not accepted as a whole."""

    def __init__(self, line: int, column: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message
        self.hint = hint


@dataclass(slots=True, eq=False)
class Scalar:
    """One piece of text, with the tag that YAML 1.1 gives it."""

    line: int
    column: int
    text: str
    tag: str


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    line: int
    column: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Mapping:
    """Pairs in the order of the file; keys are not unique yet."""

    line: int
    column: int
    pairs: list[tuple[Node, Node]] = field(default_factory=list)


Node = Scalar | Sequence | Mapping


@dataclass(slots=True, eq=False)
class _Open:
    """A list or mapping whose end was not read yet."""

    node: Sequence | Mapping
    anchor: str | None
    nodes_before: int
    height: int = 0
    key: Node | None = None


@dataclass(slots=True)
class _Anchored:
    node: Node
    nodes: int
    height: int


def parse_yaml(text: bytes) -> Node | None:
    """Return the root of the one document in *text* (UTF-8), None if there is none.

    Raises `YamlError` at the first place that cannot be read.
    """
    return _TreeBuilder().build(_events(text))


def _events(text: bytes) -> Iterator[Any]:
    try:
        parser = yaml.CSafeLoader(text)
        while (event := parser.get_event()) is not None:
            yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"not valid YAML: {error.problem or error.context}"
        raise YamlError(line, column, message, _syntax_hint(text, line, column)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].decode(errors="ignore")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        raise YamlError(line, column, f"not valid YAML: {error.reason}") from error


def _syntax_hint(text: bytes, line: int, column: int) -> str:
    lines = text.split(b"\n")
    near = lines[line - 1] if line <= len(lines) else b""
    if near[: column + 1].strip(b" ").startswith(b"\t"):
        return "indent with spaces, not with tabs"
    if b"::" in near:
        return "quote an IPv6 address: '[::1]:8000'"
    return ""


class _TreeBuilder:
    """Build the tree from events, without recursion."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.MappingStartEvent():
                    self._begin(Mapping(*_position(event)), event)
                case yaml.SequenceStartEvent():
                    self._begin(Sequence(*_position(event)), event)
                case yaml.CollectionEndEvent():
                    self._end()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise YamlError(
                        *_position(event), "a registry is one YAML document", "remove this `---`"
                    )
        return self._root

    def _scalar(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's events are not typed
        node = Scalar(*_position(event), event.value, _tag(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)
        self._add(node, 1, 0)

    def _begin(self, node: Sequence | Mapping, event: Any) -> None:  # noqa: ANN401
        if event.tag not in _COLLECTION_TAGS:
            raise YamlError(*_position(event), *refused_tag(event.tag))
        if len(self._open) >= MAX_DEPTH:
            raise YamlError(*_position(event), f"nested deeper than {MAX_DEPTH} levels")
        self._anchors.pop(event.anchor, None)  # a new anchor of the same name is not known yet
        self._open.append(_Open(node, event.anchor, self._nodes))

    def _end(self) -> None:
        ended = self._open.pop()
        nodes = self._nodes - ended.nodes_before + 1
        if ended.anchor is not None:
            self._anchors[ended.anchor] = _Anchored(ended.node, nodes, ended.height + 1)
        self._add(ended.node, 1, ended.height + 1)

    def _alias(self, event: Any) -> None:  # noqa: ANN401
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            inside = any(event.anchor == frame.anchor for frame in self._open)
            reason = "stands for an entry that holds it" if inside else "has no anchor before it"
            message = f"the alias {code('*' + event.anchor)} {reason}"
            hint = "" if inside else f"mark what it stands for with {code('&' + event.anchor)}"
            raise YamlError(*_position(event), message, hint)
        if len(self._open) + anchored.height > MAX_DEPTH:
            raise YamlError(*_position(event), f"nested deeper than {MAX_DEPTH} levels")
        self._add(anchored.node, anchored.nodes, anchored.height)

    def _add(self, node: Node, nodes: int, height: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise YamlError(
                node.line,
                node.column,
                f"more than {MAX_NODES} entries",
                "every alias counts as the entries that it stands for",
            )
        if not self._open:
            self._root = node
            return
        frame = self._open[-1]
        frame.height = max(frame.height, height)
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = node
        else:
            frame.node.pairs.append((frame.key, node))
            frame.key = None


def refused_tag(tag: str) -> tuple[str, str]:
    """Return message and hint for a tag that a registry has no use for."""
    short = tag.replace("tag:yaml.org,2002:", "!!")
    return f"the tag {code(short)} is not accepted", "remove it"


def _position(event: Any) -> tuple[int, int]:  # noqa: ANN401
    return event.start_mark.line + 1, event.start_mark.column + 1


def _tag(event: Any) -> str:  # noqa: ANN401
    """Return the tag of a scalar: the written one, or the one that a plain text implies."""
    if event.tag is not None and event.tag != "!":
        return str(event.tag)
    if event.implicit[0]:
        for tag, expression in _IMPLICIT.get(event.value[:1], ()):
            if expression.match(event.value):
                return str(tag)
    return STRING_TAG
