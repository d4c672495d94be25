"""Which resources a `version_info` stands for, as far as they were sent not long ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from snapshots.snapshot import NodeSnapshot, Resource, TypeSnapshot
from snapshots.type_urls import FULL_STATE_TYPES, TypeUrl

REMEMBERED = 256
"""Full states that are kept: those of the last edits, for every type and gateway."""


class Archive:
    """The full states that were sent, by version. Shared by all streams of a process.

    A state-of-the-world client that reconnects tells the version of what it holds, not the names.
    As the version is the content's hash, the names can be looked up, and resources that are gone
    from the snapshot are removed in their turn rather than by the first response.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[TypeUrl, str], Mapping[str, Resource]] = OrderedDict()

    def remember(self, type_url: TypeUrl, state: TypeSnapshot) -> None:
        """Keep *state*, which is being sent."""
        key = (type_url, state.version)
        self._states[key] = state.resources
        self._states.move_to_end(key)
        if len(self._states) > REMEMBERED:
            self._states.popitem(last=False)

    def remember_all(self, nodes: Iterable[NodeSnapshot]) -> None:
        """Keep the full states of *nodes*, which another process may have sent."""
        for node in nodes:
            for type_url in sorted(FULL_STATE_TYPES):
                self.remember(type_url, node.types[type_url])

    def recall(self, type_url: TypeUrl, version_info: str) -> Mapping[str, Resource] | None:
        """Return the resources of the state with *version_info*; None if it is not known."""
        return self._states.get((type_url, version_info))
