"""The material of a registry: read, judged, and good to be served, or every reason why not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from snapshots.material import Content, Material, Mention, Source
from snapshots.registry.client_keys import digest_keys
from snapshots.registry.loader import refused
from snapshots.registry.mentions import mentions
from snapshots.registry.problems import Refusal
from snapshots.registry.schema import Registry
from xds_server.files.look import Glance
from xds_server.secrets.judge import judge, judge_pair, now_utc
from xds_server.secrets.problems import Fault
from xds_server.secrets.read import Reading, read_sources


class MaterialReader:
    """Reads what contents of the registry file *path* refer to. One thread at a time.

    Environment variables are those of this process: they change with its restart only.
    """

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.glances: Mapping[Path, Glance] = {}
        """What was seen of each file that was read last."""
        self._path = path
        self._environment = environment
        self._good: frozenset[tuple[Content, ...]] = frozenset()

    def read(self, registry: Registry, text: bytes) -> Material:
        """Return the material of *registry*, which is what *text* holds.

        Raises `RegistryError` with each entry whose secret is missing, empty, or not what it
        should be. A certificate that was good when it was first served stays so: that it has
        expired meanwhile is no reason to refuse the edit of something else.
        """
        found = tuple(mentions(registry))
        reading = read_sources(found, self._path.parent, self._environment)
        self.glances = reading.glances
        material = {s: c for s, c in reading.contents.items() if isinstance(c, Content)}
        refusals = [Refusal(m.path, f.message, f.hint) for m, f in self._faults(found, reading)]
        refusals += digest_keys(registry, material)[1]
        if refusals:
            raise refused(text, str(self._path), refusals)
        self._good = frozenset(_known(mention, reading) for mention in found)
        return material

    def _faults(
        self, found: tuple[Mention, ...], reading: Reading
    ) -> Iterator[tuple[Mention, Fault]]:
        now = now_utc()
        bad: set[tuple[str | int, ...]] = set()
        for mention in found:
            content = reading.contents[mention.source]
            if isinstance(content, Content):
                if _is_judged(mention) or _known(mention, reading) in self._good:
                    continue
                fault = judge(mention.form, content.value, now)
            else:
                fault = content
            if fault:
                bad.add(mention.path)
                yield mention, _named(fault, mention.source)
        yield from ((m, f) for m, f in _unfit(found, reading) if m.path not in bad)


def _is_judged(mention: Mention) -> bool:
    """Tell whether the content of *mention* is for others to judge."""
    return mention.source.kind == "system" or mention.form == "client key"


def _known(mention: Mention, reading: Reading) -> tuple[Content, ...]:
    """Return what identifies a judged content."""
    content = reading.contents[mention.source]
    return (Content(mention.form.encode()), content) if isinstance(content, Content) else ()


def _unfit(found: tuple[Mention, ...], reading: Reading) -> Iterator[tuple[Mention, Fault]]:
    """Yield each key that is not that of the certificate beside it."""
    by_path = {mention.path: mention for mention in found}
    for mention in found:
        if mention.form != "key":
            continue
        pair = by_path.get((*mention.path[:-1], "certificate"))
        key, certificate = reading.contents[mention.source], pair and reading.contents[pair.source]
        if isinstance(key, Content) and isinstance(certificate, Content):
            fault = judge_pair(certificate.value, key.value)
            if fault:
                yield mention, _named(fault, mention.source)


def _named(fault: Fault, source: Source) -> Fault:
    """Return *fault* such that it tells which source it speaks of."""
    if source.name in fault.message:
        return fault
    return Fault(f"{source}: {fault.message}", fault.hint)
