"""The material of a registry: read, judged, and good to be served, or every reason why not.

Remembers the last good one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath

from snapshots.material import Content, Material, Mention, Source
from snapshots.registry.client_keys import digest_keys
from snapshots.registry.loader import RegistryError, refused
from snapshots.registry.mentions import mentions
from snapshots.registry.problems import Path, Refusal
from snapshots.registry.schema import Registry
from xds_server.files.look import Glance
from xds_server.secrets.judge import judge, judge_pair, now_utc
from xds_server.secrets.problems import Fault
from xds_server.secrets.read import Reading, read_sources


class MaterialReader:
    """Reads what contents of the registry file *path* refer to. One thread at a time.

    Environment variables are those of this process: they change with its restart only.
    """

    def __init__(self, path: FilePath, environment: Mapping[str, str] = os.environ) -> None:
        self.glances: Mapping[FilePath, Glance] = {}
        """What was seen of each file that was read last."""
        self._path = path
        self._environment = environment
        self.kept: RegistryError | None = None
        """Why the last reading has, for some entries, what an earlier one had; None if it has not.
        """
        self._good: frozenset[tuple[Content, ...]] = frozenset()
        self._last: Mapping[Mention, Content] = {}

    def read(self, registry: Registry, text: bytes) -> Material:
        """Return the material of *registry*, which is what *text* holds.

        An entry whose secret is missing, empty, or not what it should be keeps what it had the last
        time: that is no reason to withhold an edit of something else, or another secret. Raises
        `RegistryError` with each such entry if there is one that had nothing. A certificate that
        was good when it was first served stays so, also when it has expired meanwhile.
        """
        found = tuple(mentions(registry))
        reading = read_sources(found, self._path.parent, self._environment)
        self.glances = reading.glances
        refusals = self._refusals(registry, found, reading)
        if refusals:
            reading = self._with_the_last(found, reading, {r.path[:-1] for r in refusals})
            if self._refusals(registry, found, reading):
                raise refused(text, str(self._path), refusals)
        self.kept = refused(text, str(self._path), refusals) if refusals else None
        self._good = frozenset(_known(mention, reading) for mention in found)
        material = _material(reading)
        self._last = {mention: material[mention.source] for mention in found}
        return material

    def _with_the_last(
        self, found: tuple[Mention, ...], reading: Reading, entries: Collection[Path]
    ) -> Reading:
        """Return *reading* with what *entries* had before: a key and its certificate together."""
        last = {
            mention.source: self._last[mention]
            for mention in found
            if mention.path[:-1] in entries and mention in self._last
        }
        return replace(reading, contents={**reading.contents, **last})

    def _refusals(
        self, registry: Registry, found: tuple[Mention, ...], reading: Reading
    ) -> list[Refusal]:
        """Return why *reading* cannot be served."""
        refusals = [Refusal(m.path, f.message, f.hint) for m, f in self._faults(found, reading)]
        return refusals + digest_keys(registry, _material(reading))[1]

    def _faults(
        self, found: tuple[Mention, ...], reading: Reading
    ) -> Iterator[tuple[Mention, Fault]]:
        now = now_utc()
        bad: set[Path] = set()
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


def _material(reading: Reading) -> Material:
    return {s: c for s, c in reading.contents.items() if isinstance(c, Content)}


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
