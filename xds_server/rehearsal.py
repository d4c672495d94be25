"""What an Envoy would be sent for an edit: the protocol itself is run, with nobody listening.

The client here does all that it is told at once. An Envoy that lags behind, or refuses something,
may be sent more or less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from typing_extensions import override

from snapshots.consistency import REFERRING, references
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import FULL_STATE_TYPES, TypeUrl
from xds_server.ads.messages import write_delta, write_sotw
from xds_server.protocol.delta import DeltaSession
from xds_server.protocol.events import (
    DeltaRequest,
    DeltaResponse,
    Served,
    SotwRequest,
    SotwResponse,
)
from xds_server.protocol.session import Session
from xds_server.protocol.sotw import SotwSession

ResponseT = TypeVar("ResponseT", DeltaResponse, SotwResponse)
FOLLOWED = tuple(url for url in REFERRING if url not in FULL_STATE_TYPES)
"""Types whose names are asked for, as others refer to them; the rest is asked for as a whole."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent to one Envoy."""

    responses: int
    sent_bytes: int
    """Of the messages; what HTTP/2 adds to each is not counted."""


def rehearse(old: NodeSnapshot, *stages: NodeSnapshot) -> dict[str, Traffic]:
    """Return, by variant of the protocol, what takes an Envoy that holds *old* to all *stages*."""
    return {
        "delta": _DeltaClient(DeltaSession()).edit(old, *stages),
        "sotw": _SotwClient(SotwSession()).edit(old, *stages),
    }


@dataclass
class _Client(ABC, Generic[ResponseT]):
    """An Envoy that needs no time."""

    session: Session[ResponseT]
    held: dict[TypeUrl, dict[str, Resource]] = field(default_factory=dict)
    names: dict[TypeUrl, frozenset[str]] = field(default_factory=dict)

    def edit(self, old: NodeSnapshot, *stages: NodeSnapshot) -> Traffic:
        """Return what is sent for *stages* to this client once it holds *old*."""
        self.session.offer(Served(old))
        for type_url in old.types:
            self.held[type_url] = {}
            if type_url in FULL_STATE_TYPES:
                self._ask(type_url)
        self._settle()
        sizes: list[int] = []
        for stage in stages:
            self.session.offer(Served(stage))
            sizes += map(self._size, self._settle())
        return Traffic(len(sizes), sum(sizes))

    def _settle(self) -> list[ResponseT]:
        """Take responses until there are none, and return them."""
        responses = []
        while (response := self.session.next_response()) is not None:
            responses.append(response)
            self._take(response)
            self._follow(response.type_url)
            self._ack(response)
        return responses

    def _follow(self, parent: TypeUrl) -> None:
        """Ask for what is referred to now that *parent* has changed, and no longer for what was."""
        for type_url in FOLLOWED:
            if parent not in REFERRING[type_url]:
                continue
            wanted = frozenset(
                name
                for referring in REFERRING[type_url]
                for resource in self.held[referring].values()
                for url, name in references(resource)
                if url == type_url
            )
            before = self.names.get(type_url, frozenset())
            if wanted != before:
                self.names[type_url] = wanted
                self._ask(type_url, wanted - before, before - wanted)
                for name in before - wanted:
                    self.held[type_url].pop(name, None)

    def _put(self, type_url: TypeUrl, resources: tuple[Resource, ...]) -> None:
        self.held[type_url] |= {resource.name: resource for resource in resources}

    @abstractmethod
    def _size(self, response: ResponseT) -> int:
        """Return how long *response* is on the wire."""

    @abstractmethod
    def _take(self, response: ResponseT) -> None:
        """Hold what *response* says."""

    @abstractmethod
    def _ask(
        self,
        type_url: TypeUrl,
        new: frozenset[str] = frozenset(),
        gone: frozenset[str] = frozenset(),
    ) -> None:
        """Ask for a type as a whole, or for *new* names and no longer for those *gone*."""

    @abstractmethod
    def _ack(self, response: ResponseT) -> None:
        """Accept *response*."""


@dataclass
class _DeltaClient(_Client[DeltaResponse]):
    session: DeltaSession

    @override
    def _size(self, response: DeltaResponse) -> int:
        return len(write_delta(response).SerializeToString())

    @override
    def _take(self, response: DeltaResponse) -> None:
        for name in response.removed_resources:
            self.held[response.type_url].pop(name, None)
        self._put(response.type_url, response.resources)

    @override
    def _ask(
        self,
        type_url: TypeUrl,
        new: frozenset[str] = frozenset(),
        gone: frozenset[str] = frozenset(),
    ) -> None:
        self.session.receive(DeltaRequest(type_url, tuple(sorted(new)), tuple(sorted(gone))))

    @override
    def _ack(self, response: DeltaResponse) -> None:
        self.session.receive(DeltaRequest(response.type_url, response_nonce=response.nonce))


@dataclass
class _SotwClient(_Client[SotwResponse]):
    session: SotwSession
    last: dict[TypeUrl, SotwResponse] = field(default_factory=dict)

    @override
    def _size(self, response: SotwResponse) -> int:
        return len(write_sotw(response).SerializeToString())

    @override
    def _take(self, response: SotwResponse) -> None:
        if response.type_url in FULL_STATE_TYPES:
            self.held[response.type_url] = {}
        self._put(response.type_url, response.resources)

    @override
    def _ask(
        self,
        type_url: TypeUrl,
        new: frozenset[str] = frozenset(),
        gone: frozenset[str] = frozenset(),
    ) -> None:
        self._say(type_url)

    @override
    def _ack(self, response: SotwResponse) -> None:
        self.last[response.type_url] = response
        self._say(response.type_url)

    def _say(self, type_url: TypeUrl) -> None:
        last = self.last.get(type_url)
        self.session.receive(
            SotwRequest(
                type_url,
                tuple(sorted(self.names.get(type_url, ()))),
                last.version_info if last else "",
                last.nonce if last else "",
            )
        )
