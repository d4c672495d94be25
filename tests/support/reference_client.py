"""An xDS client that behaves like Envoy, without I/O, and checks what it is told.

It warms clusters, follows references from clusters to endpoints and from scopes to routes, and
refuses resources whose content is `bad`. Tests drive it step by step, so that requests and
responses cross on the wire in every order that a stream allows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field

from envoy.config.route.v3 import scoped_route_pb2

from snapshots.snapshot import Resource
from snapshots.type_urls import (
    CLUSTER,
    ENDPOINT,
    FULL_STATE_TYPES,
    LISTENER,
    PUSH_ORDER,
    ROUTE,
    SCOPED_ROUTE,
    TypeUrl,
)
from tests.support.snapshots import clusters_of
from xds_server.protocol.events import DeltaRequest, DeltaResponse, SotwRequest, SotwResponse

BAD = b"bad"


@dataclass(frozen=True)
class Temper:
    """How a client behaves where the protocol leaves it open."""

    names_culprits: bool = True
    """Whether its refusals say which resources are to blame."""
    applies_the_rest: bool = True
    """Whether it applies the good resources of a response that it refuses."""
    withholds_cds: bool = True
    """Whether it speaks of CDS only when no cluster is warming, as Envoy does."""


@dataclass
class ReferenceClient(ABC):
    """What an Envoy holds, and what it says next; subclasses speak one variant."""

    temper: Temper
    held: dict[TypeUrl, dict[str, Resource]] = field(
        default_factory=lambda: {url: {} for url in PUSH_ORDER}
    )
    names: dict[TypeUrl, set[str]] = field(default_factory=dict)
    """Names asked for on this stream; the wildcard types have none."""
    outbox: deque = field(default_factory=deque)
    warming: set[str] = field(default_factory=set)
    version: dict[TypeUrl, str] = field(default_factory=dict)
    """`version_info` of the last good response, also if its ACK is withheld."""
    withheld_acks: list = field(default_factory=list)
    works: set[str] = field(default_factory=set)
    """Routes that have worked since they were told."""
    broken: set[str] = field(default_factory=set)
    """Routes that have worked, and now lead to a cluster that is not there, or is draining."""
    is_initialized: bool = False
    """Whether clusters and endpoints came once; listeners and scopes are asked for after that."""
    withholds_first: bool = False
    """Whether the first CDS request of the stream is still to come."""

    def start(self) -> None:
        """Open a stream: ask for what is needed, telling what is held."""
        self.outbox.clear()
        self.withheld_acks.clear()
        self.names = {}
        self.withholds_first = self.is_silent_on_clusters()
        if not self.withholds_first:
            self.open(CLUSTER, ())
        self.follow()
        if self.is_initialized:
            self.ask_for_listeners()

    def is_silent_on_clusters(self) -> bool:
        """Return whether CDS is paused, as it is while clusters warm that come after the start."""
        return self.temper.withholds_cds and self.is_initialized and bool(self.warming)

    def ask_for_listeners(self) -> None:
        self.open(LISTENER, ())
        self.open(SCOPED_ROUTE, ())

    def follow(self) -> None:
        """Ask for the endpoints of all clusters and the routes of all scopes that are held."""
        wanted = {
            ENDPOINT: set(self.held[CLUSTER]),
            ROUTE: {
                scoped_route_pb2.ScopedRouteConfiguration.FromString(
                    scope.body
                ).route_configuration_name
                for scope in self.held[SCOPED_ROUTE].values()
            },
        }
        for type_url, names in wanted.items():
            before = self.names.get(type_url, set())
            for gone in before - names:
                self.held[type_url].pop(gone, None)
            if type_url not in self.names:
                if names:
                    self.names[type_url] = names
                    self.open(type_url, tuple(sorted(names)))
            elif names != before:
                self.names[type_url] = names
                self.resubscribe(type_url, names - before, before - names)

    def process(self, response: DeltaResponse | SotwResponse) -> None:
        """Take or refuse *response*, and put what there is to say into the outbox."""
        bad = [r for r in response.resources if BAD in r.body]
        if not bad and isinstance(response, SotwResponse):
            self.version[response.type_url] = response.version_info
        if not bad or self.temper.applies_the_rest:
            self.apply(response, {r.name: r for r in response.resources if r not in bad})
        self.warm(response)
        self.follow()
        self.note_what_works()
        error = None
        if bad:
            error = "bad: " + ", ".join(r.name for r in bad if self.temper.names_culprits)
        self.answer(response, error)
        self.release_acks()
        if not self.is_initialized and not self.warming:
            self.is_initialized = True
            self.ask_for_listeners()

    def warm(self, response: DeltaResponse | SotwResponse) -> None:
        """A cluster is warm when a response for its endpoints came, good or bad."""
        if response.type_url == ENDPOINT:
            self.warming -= {r.name for r in response.resources}
            self.warming -= set(getattr(response, "removed_resources", ()))
        self.warming &= self.held[CLUSTER].keys()

    def answer(self, response: DeltaResponse | SotwResponse, error: str | None) -> None:
        if response.type_url == CLUSTER and self.is_silent_on_clusters():
            self.withheld_acks.append((response, error))
        else:
            self.say(response, error)

    def release_acks(self) -> None:
        if not self.warming:
            if self.withholds_first:
                self.withholds_first = False
                self.open(CLUSTER, ())
            for response, error in self.withheld_acks:
                self.say(response, error)
            self.withheld_acks.clear()

    def give_up_warming(self) -> None:
        """Go on without the endpoints that did not come, as after `initial_fetch_timeout`."""
        self.warming.clear()
        self.release_acks()
        if not self.is_initialized:
            self.is_initialized = True
            self.ask_for_listeners()

    def put(self, type_url: TypeUrl, resources: dict[str, Resource]) -> None:
        """Hold *resources*, beside what is held."""
        for name, new in resources.items():
            old = self.held[type_url].get(name)
            if type_url == CLUSTER and (old is None or old.version != new.version):
                self.warming.add(name)
            self.held[type_url][name] = new

    def note_what_works(self) -> None:
        """Remember which routes lead to clusters that take requests, and which stopped to do so."""
        routes, servers = self.held[ROUTE], self.held[ENDPOINT]
        going = {name for name, resource in servers.items() if resource.undrained}
        clusters = self.held[CLUSTER].keys() - going
        works = {name for name, route in routes.items() if clusters_of(route) <= clusters}
        self.broken = (self.works & routes.keys()) - works
        self.works = works | self.broken

    @abstractmethod
    def open(self, type_url: TypeUrl, names: tuple[str, ...]) -> None:
        """Ask for the first time."""

    @abstractmethod
    def resubscribe(self, type_url: TypeUrl, new: set[str], gone: set[str]) -> None:
        """Ask for *new* names besides, and no longer for those *gone*."""

    @abstractmethod
    def apply(self, response, good: dict[str, Resource]) -> None:
        """Hold what *response* says, as far as it is *good*."""

    @abstractmethod
    def say(self, response, error: str | None) -> None:
        """Answer *response*: with *error* refuse it."""


class DeltaClient(ReferenceClient):
    """A reference client of the delta variant."""

    def open(self, type_url: TypeUrl, names: tuple[str, ...]) -> None:
        holding = {name: r.version for name, r in self.held[type_url].items()}
        self.outbox.append(DeltaRequest(type_url, names, initial_resource_versions=holding))

    def resubscribe(self, type_url: TypeUrl, new: set[str], gone: set[str]) -> None:
        self.outbox.append(DeltaRequest(type_url, tuple(sorted(new)), tuple(sorted(gone))))

    def apply(self, response: DeltaResponse, good: dict[str, Resource]) -> None:
        url = response.type_url
        if url not in FULL_STATE_TYPES:
            good = {name: r for name, r in good.items() if name in self.names[url]}
        for name in response.removed_resources:
            self.held[url].pop(name, None)
        self.put(url, good)

    def say(self, response: DeltaResponse, error: str | None) -> None:
        self.outbox.append(
            DeltaRequest(response.type_url, response_nonce=response.nonce, error_detail=error)
        )


@dataclass
class SotwClient(ReferenceClient):
    """A reference client of the state-of-the-world variant."""

    nonce: dict[TypeUrl, str] = field(default_factory=dict)

    def start(self) -> None:
        self.nonce = {}
        super().start()

    def open(self, type_url: TypeUrl, names: tuple[str, ...]) -> None:
        self.outbox.append(self.request(type_url))

    def resubscribe(self, type_url: TypeUrl, new: set[str], gone: set[str]) -> None:
        self.outbox.append(self.request(type_url))

    def request(self, type_url: TypeUrl, error: str | None = None) -> SotwRequest:
        return SotwRequest(
            type_url,
            tuple(sorted(self.names.get(type_url, ()))),
            self.version.get(type_url, ""),
            self.nonce.get(type_url, ""),
            error,
        )

    def apply(self, response: SotwResponse, good: dict[str, Resource]) -> None:
        url = response.type_url
        if url in FULL_STATE_TYPES:
            told = {r.name for r in response.resources}
            for name in self.held[url].keys() - told:
                del self.held[url][name]
        else:
            good = {name: r for name, r in good.items() if name in self.names[url]}
        self.put(url, good)

    def say(self, response: SotwResponse, error: str | None) -> None:
        self.nonce[response.type_url] = response.nonce
        self.outbox.append(self.request(response.type_url, error))
