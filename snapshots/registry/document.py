"""The plain data that a registry file holds, and where each entry stands.

Reads YAML with two differences to PyYAML's safe loader: a key that comes twice is refused, and
plain scalars that YAML takes for something which no field of a registry can be (null, dates,
fractions, octal numbers) stay what they look like, so that a message can repeat them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from snapshots.registry.problems import Path, Refusal, code, quote_it
from snapshots.registry.yaml_tree import (
    MERGE_TAG,
    STRING_TAG,
    Mapping,
    Node,
    Scalar,
    Sequence,
    YamlError,
    parse_yaml,
    refused_tag,
)

Kind = Literal["null", "date", "number", "boolean"]

_KINDS: Final[dict[str, Kind]] = {
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:bool": "boolean",
}
_TEXT_TAGS: Final = frozenset({STRING_TAG, "tag:yaml.org,2002:value"})
_FIELDS: Final = frozenset({("retries", "on")})
"""Fields, each behind the one above it, that YAML 1.1 takes for a boolean and YAML 1.2 does not."""
_BOOLEANS: Final = {
    "yes": True,
    "true": True,
    "on": True,
    "no": False,
    "false": False,
    "off": False,
}
_DECIMAL: Final = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A plain scalar that is not text, and not a number or boolean that a field can hold."""

    text: str
    kind: Kind


class Document:
    """The data of one registry file; positions are looked up only when they are asked for."""

    def __init__(self, text: bytes) -> None:
        """Read *text* (UTF-8), or raise `YamlError`."""
        root = parse_yaml(text)
        if root is None:
            raise YamlError(1, 1, "the file is empty", "start it with `version: 1`")
        if not isinstance(root, Mapping):
            raise YamlError(
                root.line, root.column, "a registry is a mapping", "start it with `version: 1`"
            )
        self._root = root
        self._entries: dict[Mapping, dict[str, tuple[Node, Node]]] = {}
        reader = _Reader()
        self.data = reader.mapping(root, ())
        """Mappings with text keys, lists, texts, whole numbers, booleans and `Unquoted`."""
        self.refusals = reader.refusals
        """What is wrong with the YAML itself; the first of two equal keys is in `data`."""

    def position(self, path: Path) -> tuple[int, int]:
        """Return line and column of the key or list item at *path*, or of what is nearest to it."""
        marked, _value = self._find(path)
        return marked.line, marked.column

    def written(self, path: Path) -> str:
        """Return the scalar at *path* as it stands in the file; empty if it is not a scalar."""
        _marked, value = self._find(path)
        return value.text if isinstance(value, Scalar) else ""

    def existing(self, path: Path) -> Path:
        """Return the part of *path* that leads to something in the file."""
        value: object = self.data
        for depth, step in enumerate(path):
            entries = dict(enumerate(value)) if isinstance(value, list) else value
            if not isinstance(entries, dict) or step not in entries:
                return path[:depth]
            value = entries[step]
        return path

    def _find(self, path: Path) -> tuple[Node, Node]:
        """Return the node that marks the place of *path*, and the node of its value."""
        marked: Node = self._root
        value: Node = self._root
        for step in path:
            if isinstance(value, Sequence) and isinstance(step, int) and step < len(value.items):
                marked = value = value.items[step]
            elif isinstance(value, Mapping) and step in (entries := self._entries_of(value)):
                marked, value = entries[str(step)]
            else:
                break
        return marked, value

    def _entries_of(self, mapping: Mapping) -> dict[str, tuple[Node, Node]]:
        """Return the nodes of each key, own ones before merged ones."""
        if mapping not in self._entries:
            entries: dict[str, tuple[Node, Node]] = {}
            for key, value in mapping.pairs:
                if isinstance(key, Scalar) and not _is_merge(key):
                    entries.setdefault(key.text, (key, value))
            for source in _merged(mapping):
                for name, nodes in self._entries_of(source).items():
                    entries.setdefault(name, nodes)
            self._entries[mapping] = entries
        return self._entries[mapping]


def _merged(mapping: Mapping) -> list[Mapping]:
    """Return what the merge keys (`<<`) of *mapping* refer to; the first has precedence."""
    sources: list[Mapping] = []
    for key, value in mapping.pairs:
        if _is_merge(key):
            nodes = value.items if isinstance(value, Sequence) else [value]
            sources.extend(node for node in nodes if isinstance(node, Mapping))
    return sources


def _is_merge(key: Node) -> bool:
    return isinstance(key, Scalar) and key.tag == MERGE_TAG


class _Reader:
    """Turn nodes into data. Recursion is safe: the tree's depth and size are bounded."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def mapping(self, node: Mapping, path: Path) -> dict[str, object]:
        own: dict[str, object] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.pairs:
            key = self._key(key_node, value_node, path)
            if key in first:
                self._refuse(
                    key_node,
                    (*path, key),
                    f"this key comes twice; the first is on line {first[key]}",
                    "remove one of them",
                )
                continue
            first[key] = key_node.line
            if not _is_merge(key_node):
                own[key] = self._value(value_node, (*path, key))
        merged: dict[str, object] = {}
        for source in reversed(_merged(node)):
            merged |= self.mapping(source, path)
        return merged | own if merged else own

    def _value(self, node: Node, path: Path) -> object:
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, Mapping):
            return self.mapping(node, path)
        return [self._value(item, (*path, index)) for index, item in enumerate(node.items)]

    def _scalar(self, node: Scalar, path: Path) -> object:
        if node.tag in _TEXT_TAGS:
            return node.text
        kind = _KINDS.get(node.tag)
        if kind is None:
            self._refuse(node, path, *refused_tag(node.tag))
            return node.text
        if kind == "boolean" and (value := _BOOLEANS.get(node.text.lower())) is not None:
            return value
        if kind == "number" and _DECIMAL.fullmatch(node.text):
            return int(node.text)
        return Unquoted(node.text, kind)

    def _key(self, node: Node, value: Node, path: Path) -> str:
        if not isinstance(node, Scalar):
            self._refuse(node, path, "a key must be a text, not a list or a mapping")
            return ""
        if _is_merge(node):
            merged = value.items if isinstance(value, Sequence) else [value]
            if not all(isinstance(item, Mapping) for item in merged):
                self._refuse(node, path, "`<<` merges mappings only", "write `<<: *anchor`")
        elif node.tag not in _TEXT_TAGS and (*path[-1:], node.text) not in _FIELDS:
            kind = _KINDS.get(node.tag, "tagged value")
            message = f"a key must be a text, not the {kind} {code(node.text)}"
            self._refuse(node, (*path, node.text), message, quote_it(node.text))
        return node.text

    def _refuse(self, node: Node, path: Path, message: str, hint: str = "") -> None:
        self.refusals.append(Refusal(path, message, hint, (node.line, node.column)))
