"""A conversation with a session, without I/O: say what a client says, see what it is told.

`DeltaTalk` and `SotwTalk` have the same verbs, so that a test can be run with both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import ENDPOINT, PUSH_ORDER, ROUTE, TypeUrl
from tests.support.snapshots import node_snapshot
from xds_server.protocol.archive import Archive
from xds_server.protocol.delta import DeltaSession
from xds_server.protocol.events import (
    DeltaRequest,
    DeltaResponse,
    Received,
    Served,
    SotwRequest,
    SotwResponse,
)
from xds_server.protocol.fallback import RefusalKey, refusal_key
from xds_server.protocol.quarantine import Quarantine
from xds_server.protocol.session import Session
from xds_server.protocol.sotw import SotwSession

ResponseT = TypeVar("ResponseT", DeltaResponse, SotwResponse)


class Talk(ABC, Generic[ResponseT]):
    """One stream, with what `AdsStream` does between a session and the quarantine."""

    session: Session[ResponseT]

    def __init__(self, quarantine: Quarantine | None = None) -> None:
        self.quarantine = quarantine or Quarantine()
        self.desired: NodeSnapshot | None = None
        self.refused: frozenset[RefusalKey] = frozenset()

    def publish(self, *resources: Resource) -> None:
        """Make *resources* the snapshot of the node."""
        self.offer(node_snapshot(*resources))

    def offer(self, desired: NodeSnapshot) -> None:
        """Aim at *desired*, as far as it was not refused."""
        self.desired = desired
        self.session.offer(self.served())

    def served(self) -> Served:
        """Return what this stream is served now."""
        assert self.desired is not None
        return self.quarantine.effective(self.desired, self.refused)

    def told(self) -> list[ResponseT]:
        """Return everything that is written until the client has to say something."""
        responses = []
        while (response := self.session.next_response()) is not None:
            responses.append(response)
        return responses

    def told_one(self) -> ResponseT:
        """Return the only response that is written now."""
        responses = self.told()
        assert len(responses) == 1, responses
        return responses[0]

    def in_sync(self) -> bool:
        """Return whether the client has ACKed all it asked for of the desired snapshot."""
        assert self.desired is not None
        return self.session.in_sync_with(self.desired)

    def note(self, received: Received) -> Received:
        """Tell the quarantine what *received* brought, as a stream does."""
        assert self.desired is not None
        self.quarantine.accepted(self.desired.gateway, received.accepted)
        self.quarantine.refused(received.refused)
        self.refused |= {refusal_key(resource) for resource in received.refused}
        self.offer(self.desired)
        return received

    @abstractmethod
    def subscribe(self, type_url: TypeUrl, *resource_names: str) -> Received:
        """Ask for *resource_names*, or by naming none for the legacy wildcard."""

    @abstractmethod
    def ask_for_more(self, type_url: TypeUrl, *resource_names: str) -> Received:
        """Ask for *resource_names* beside those that were asked for before."""

    @abstractmethod
    def ack(self, response: ResponseT) -> Received:
        """Accept *response*."""

    @abstractmethod
    def nack(self, response: ResponseT, error_detail: str = "no") -> Received:
        """Refuse *response*."""

    def settle(self) -> list[ResponseT]:
        """Accept everything until there is silence; return what was written."""
        heard = []
        while responses := self.told():
            heard.extend(responses)
            for response in responses:
                self.ack(response)
        return heard


class DeltaTalk(Talk[DeltaResponse]):
    """A conversation with a delta session."""

    def __init__(
        self,
        quarantine: Quarantine | None = None,
        archive: Archive | None = None,
        *,
        is_envoy: bool = False,
    ) -> None:
        del archive  # of no use here
        super().__init__(quarantine)
        self.session = DeltaSession(is_envoy=is_envoy)

    def say(self, request: DeltaRequest) -> Received:
        assert isinstance(self.session, DeltaSession)
        return self.note(self.session.receive(request))

    def subscribe(self, type_url: TypeUrl, *resource_names: str) -> Received:
        return self.say(DeltaRequest(type_url, resource_names))

    def ask_for_more(self, type_url: TypeUrl, *resource_names: str) -> Received:
        return self.subscribe(type_url, *resource_names)

    def unsubscribe(self, type_url: TypeUrl, *resource_names: str) -> Received:
        return self.say(DeltaRequest(type_url, resource_names_unsubscribe=resource_names))

    def resume(self, type_url: TypeUrl, *resource_names: str, holding: dict[str, str]) -> Received:
        """Ask on a new stream, telling the versions of what is held already."""
        return self.say(DeltaRequest(type_url, resource_names, initial_resource_versions=holding))

    def ack(self, response: DeltaResponse) -> Received:
        return self.say(DeltaRequest(response.type_url, response_nonce=response.nonce))

    def nack(self, response: DeltaResponse, error_detail: str = "no") -> Received:
        return self.say(
            DeltaRequest(
                response.type_url, response_nonce=response.nonce, error_detail=error_detail
            )
        )


class SotwTalk(Talk[SotwResponse]):
    """A conversation with a state-of-the-world session."""

    def __init__(
        self,
        quarantine: Quarantine | None = None,
        archive: Archive | None = None,
        *,
        is_envoy: bool = False,
    ) -> None:
        super().__init__(quarantine)
        self.session = SotwSession(archive, is_envoy=is_envoy)
        self.names: dict[TypeUrl, tuple[str, ...]] = {}
        self.nonce: dict[TypeUrl, str] = {}
        self.version: dict[TypeUrl, str] = {}

    def say(self, request: SotwRequest) -> Received:
        assert isinstance(self.session, SotwSession)
        return self.note(self.session.receive(request))

    def subscribe(self, type_url: TypeUrl, *resource_names: str) -> Received:
        self.names[type_url] = resource_names
        return self.say(self._request(type_url))

    def ask_for_more(self, type_url: TypeUrl, *resource_names: str) -> Received:
        return self.subscribe(type_url, *self.names[type_url], *resource_names)

    def ack(self, response: SotwResponse) -> Received:
        self.nonce[response.type_url] = response.nonce
        self.version[response.type_url] = response.version_info
        return self.say(self._request(response.type_url))

    def nack(self, response: SotwResponse, error_detail: str = "no") -> Received:
        self.nonce[response.type_url] = response.nonce
        return self.say(self._request(response.type_url, error_detail))

    def _request(self, type_url: TypeUrl, error_detail: str | None = None) -> SotwRequest:
        return SotwRequest(
            type_url,
            self.names.get(type_url, ()),
            self.version.get(type_url, ""),
            self.nonce.get(type_url, ""),
            error_detail,
        )


def removed(response: object) -> tuple[str, ...]:
    """Return the names that *response* removes by telling so."""
    return response.removed_resources if isinstance(response, DeltaResponse) else ()


def start_like_envoy(talk: Talk, *resources: Resource) -> None:
    """Start like an Envoy that is told *resources*, until it is at rest."""
    named = {url: [r.name for r in resources if r.type_url == url] for url in (ENDPOINT, ROUTE)}
    talk.publish(*resources)
    for type_url in PUSH_ORDER:
        talk.subscribe(type_url, *named.get(type_url, ()))
        talk.settle()
    assert talk.in_sync()


def types(responses: Iterable[DeltaResponse | SotwResponse]) -> list[TypeUrl]:
    """Return the types of *responses*, in their order."""
    return [response.type_url for response in responses]


def only(responses: Iterable[ResponseT], type_url: TypeUrl) -> ResponseT:
    """Return the one response of *responses* that is for *type_url*."""
    chosen = [response for response in responses if response.type_url == type_url]
    assert len(chosen) == 1, responses
    return chosen[0]
