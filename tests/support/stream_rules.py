"""A client and a session with a wire between them, and the rules for what is written to it."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import note

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, FULL_STATE_TYPES, ROUTE, TypeUrl
from tests.support.reference_client import ReferenceClient
from tests.support.snapshots import clusters_of
from tests.support.talk import DeltaTalk, Talk, removed
from xds_server.protocol.fallback import refusal_key

Key = tuple[TypeUrl, str]


class Stream:
    """One client and the server's side of its stream, with what is on the wire between them."""

    def __init__(self, client: ReferenceClient, talk: Talk) -> None:
        self.client = client
        self.talk = talk
        self.wire: deque = deque()
        self.rules = Rules(client, talk)
        client.start()

    @property
    def quiet(self) -> bool:
        return not self.wire and not self.client.outbox

    def write(self) -> bool:
        response = self.talk.session.next_response()
        if response is None:
            return False
        note(f"{type(self.talk).__name__} is told {response}")
        self.rules.written(response)
        self.wire.append(response)
        return True

    def read(self) -> None:
        if self.wire:
            self.client.process(self.wire.popleft())

    def hear(self) -> None:
        if self.client.outbox:
            request = self.client.outbox.popleft()
            self.rules.heard(request)
            self.talk.say(request)


class Rules:
    """What may be written to a stream and when, judged by what was written and answered."""

    def __init__(self, client: ReferenceClient, talk: Talk) -> None:
        self.talk = talk
        self.is_delta = isinstance(talk, DeltaTalk)
        self.written_responses: dict[str, Any] = {}
        self.sent: dict[Key, str] = {}
        self.may_repeat: set[Key] = set()
        self.asked: dict[TypeUrl, set[str]] = {}
        self.accepted = {
            url: {name: r.version for name, r in held.items()} for url, held in client.held.items()
        }

    def offered(self, served: NodeSnapshot) -> None:
        """What is gone is new when it comes back."""
        self.may_repeat |= {
            (url, name) for url, name in self.sent if name not in served.types[url].resources
        }

    def written(self, response) -> None:
        url = response.type_url
        self.written_responses[response.nonce] = response
        if url == ROUTE:
            for changed in response.resources:
                self.waited_for_its_clusters(changed)
        if self.is_delta or url not in FULL_STATE_TYPES:
            for resource in response.resources:
                self.sent_once(resource)
        if url == CLUSTER:
            self.may_repeat |= {(ENDPOINT, resource.name) for resource in response.resources}

    def sent_once(self, resource: Resource) -> None:
        """A version is sent at most once until it changes, but for the reasons noted."""
        key = (resource.type_url, resource.name)
        assert self.sent.get(key) != resource.version or key in self.may_repeat, resource
        self.sent[key] = resource.version
        self.may_repeat.discard(key)

    def waited_for_its_clusters(self, changed: Resource) -> None:
        """A route that the client holds is changed only when it has taken the clusters."""
        if changed.name not in self.accepted[ROUTE]:
            return
        clusters = self.talk.served().snapshot.types[CLUSTER].resources
        for name in clusters_of(changed) & clusters.keys():
            taken = self.accepted[CLUSTER].get(name) == clusters[name].version
            assert taken or refusal_key(clusters[name]) in self.talk.refused, (changed, name)

    def heard(self, request) -> None:
        url = request.type_url
        if self.is_delta:
            new, dropped = request.resource_names_subscribe, request.resource_names_unsubscribe
        else:
            asked = set(request.resource_names)
            new = asked - self.asked.get(url, set())
            dropped = set() if url in FULL_STATE_TYPES else self.accepted[url].keys() - asked
            self.asked[url] = asked
        self.may_repeat |= {(url, name) for name in new}
        for name in dropped:
            self.accepted[url].pop(name, None)
        response = self.written_responses.pop(request.response_nonce, None)
        if response is not None and request.error_detail is None:
            self.was_accepted(response)
        elif response is not None:
            self.may_repeat |= {(url, resource.name) for resource in response.resources}

    def was_accepted(self, response) -> None:
        accepted = self.accepted[response.type_url]
        if not self.is_delta and response.type_url in FULL_STATE_TYPES:
            accepted.clear()
        for name in removed(response):
            accepted.pop(name, None)
        accepted.update({r.name: r.version for r in response.resources})
