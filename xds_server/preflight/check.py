"""Whether Envoy takes a snapshot, and which entry of the registry is to blame if it does not.

What was checked before is not checked again: only what has changed since, so that the cost of an
edit grows with the edit. That references hold is checked elsewhere (`snapshots.consistency`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from snapshots.diff import diff
from snapshots.registry.loader import refused
from snapshots.registry.problems import Refusal
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot, Resource, Snapshot
from snapshots.type_urls import TypeUrl
from xds_server.envoy_binary import EnvoyError
from xds_server.preflight.envoy import EnvoyValidator, PreflightTimeoutError
from xds_server.preflight.metrics import PreflightMetrics
from xds_server.preflight.static_config import Key, static_config
from xds_server.protocol.refusal import named_in

log = structlog.get_logger()

MAX_CULPRITS = 10
"""Of one gateway; with more, the search ends."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """One resource that Envoy refuses, and its words; without a resource, nobody knows which."""

    resource: Resource | None
    words: str


class Preflight:
    """Checks snapshots with one Envoy; *timeout_s* is for all of one snapshot."""

    def __init__(self, envoy: EnvoyValidator, timeout_s: float, metrics: PreflightMetrics) -> None:
        self._envoy = envoy
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._passed: Snapshot | None = None

    async def start(self) -> None:
        """Find out whether there is an Envoy; raises EnvoyError if there is none."""
        version = await self._envoy.version()
        log.info("preflight.ready", envoy_path=self._envoy.path, envoy_version=version)

    async def check(self, snapshot: Snapshot, text: bytes, source: str) -> None:
        """Return if Envoy takes *snapshot*, which the registry *text* of the file *source* gives.

        Raises RegistryError with each entry whose resources it refuses, in its words.
        """
        with self._metrics.seconds.time():
            culprits = [culprit async for culprit in self._culprits(snapshot)]
        self._metrics.checked(passed=not culprits)
        if culprits:
            raise refused(text, source, map(_refusal, culprits))
        self._passed = snapshot

    async def _culprits(self, snapshot: Snapshot) -> AsyncIterator[Culprit]:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        passed = self._passed.nodes if self._passed else {}
        for group, node in snapshot.nodes.items():
            before = passed.get(group, NO_GATEWAY)
            changed = frozenset(_changed(before, node))
            search = _Search(self._envoy, node, changed, deadline)
            for culprit in await search.culprits():
                yield culprit


def _changed(before: NodeSnapshot, after: NodeSnapshot) -> Iterator[Key]:
    for type_url, difference in diff(before, after).items():
        for name in (*difference.added, *difference.changed):
            yield type_url, name


def _refusal(culprit: Culprit) -> Refusal:
    if culprit.resource is None:
        return Refusal((), f"Envoy refuses what this file gives: {culprit.words}")
    one = culprit.resource
    what = f"{one.type_url.rpartition('.')[2]} {one.name}"
    return Refusal(one.origin, f"Envoy refuses {what}: {culprit.words}")


class _Search:
    """Finds what Envoy refuses among the *changed* resources of *node*, half by half."""

    def __init__(
        self, envoy: EnvoyValidator, node: NodeSnapshot, changed: frozenset[Key], deadline: float
    ) -> None:
        self._envoy = envoy
        self._node = node
        self._changed = changed
        self._deadline = deadline
        self._found: list[Culprit] = []

    async def culprits(self) -> list[Culprit]:
        """Return what Envoy refuses; empty if it takes all."""
        if not self._changed:
            return []
        try:
            words = await self._ask(self._changed)
        except PreflightTimeoutError:
            return [Culprit(None, "its check takes too long (hint: --preflight-timeout)")]
        except EnvoyError as error:
            return [Culprit(None, f"it cannot be asked: {error}")]
        if not words:
            return []
        with suppress(PreflightTimeoutError, EnvoyError):  # what has been found by then is told
            await self._search(self._ordered(words), words)
        return self._found or [Culprit(None, words)]

    def _ordered(self, words: str) -> list[Key]:
        """Return the suspects, those first that Envoy's *words* name."""
        named = named_in(words, (name for _, name in self._changed))
        return sorted(self._changed, key=lambda key: (key[1] not in named, key))

    async def _search(self, suspects: list[Key], words: str) -> None:
        """Find those of *suspects* that Envoy refuses; together it refuses them with *words*."""
        if len(suspects) == 1:
            ((type_url, name),) = suspects
            self._found.append(Culprit(self._node.types[TypeUrl(type_url)].resources[name], words))
            return
        middle = len(suspects) // 2
        for half in (suspects[:middle], suspects[middle:]):
            if len(self._found) < MAX_CULPRITS and (of_half := await self._ask(frozenset(half))):
                await self._search(half, of_half)

    async def _ask(self, meant: frozenset[Key]) -> str:
        """Return why Envoy refuses *meant* without the other changes; empty if it takes it."""
        left_out = self._changed - meant
        bootstrap = await asyncio.to_thread(_encoded, self._node, meant, left_out)
        remaining = self._deadline - asyncio.get_running_loop().time()
        return await self._envoy.refusal(bootstrap, max(remaining, 0.0))


def _encoded(node: NodeSnapshot, meant: frozenset[Key], left_out: frozenset[Key]) -> bytes:
    encoded: bytes = static_config(node, meant, left_out).SerializeToString()
    return encoded
