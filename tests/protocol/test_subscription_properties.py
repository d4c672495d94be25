"""Whatever a client subscribes to and drops, at rest it holds exactly that of the snapshot.

Unlike Envoy, this client follows no references and asks for any names of any type; nobody asks for
endpoints and clusters both, as it would not ask for those that the clusters need.
"""

from __future__ import annotations

import os
from collections import deque

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from snapshots.snapshot import Resource
from snapshots.type_urls import (
    CLUSTER,
    ENDPOINT,
    FULL_STATE_TYPES,
    LISTENER,
    ROUTE,
    SCOPED_ROUTE,
    TypeUrl,
)
from tests.support.snapshots import cluster, endpoints, listener, node_snapshot, route, scope
from tests.support.talk import DeltaTalk, SotwTalk
from xds_server.protocol.archive import Archive
from xds_server.protocol.events import DeltaRequest, SotwRequest

MAKERS = {
    CLUSTER: cluster,
    ENDPOINT: endpoints,
    LISTENER: listener,
    SCOPED_ROUTE: lambda name, content: scope(name, name, content),
    ROUTE: lambda name, content: route(name, "a", content=content),
}
NAMES = ("a", "b", "c")

types = st.sampled_from([CLUSTER, LISTENER, SCOPED_ROUTE, ROUTE])
other_types = st.sampled_from([ENDPOINT, LISTENER, SCOPED_ROUTE, ROUTE])
some_names = st.sets(st.sampled_from([*NAMES, "*"]), max_size=3)


class Client:
    """What a client asked for and holds."""

    def __init__(self) -> None:
        self.held: dict[TypeUrl, dict[str, Resource]] = {}
        self.names: dict[TypeUrl, set[str]] = {}
        self.legacy: set[TypeUrl] = set()
        """Types that were only ever asked for without names."""
        self.outbox: deque = deque()

    def wants(self, type_url: TypeUrl, name: str) -> bool:
        return type_url in self.legacy or bool(self.names[type_url] & {name, "*"})

    def forget(self, type_url: TypeUrl) -> None:
        held = self.held[type_url]
        self.held[type_url] = {n: r for n, r in held.items() if self.wants(type_url, n)}


class DeltaClient(Client):
    def start(self) -> None:
        """Say everything again on a new stream, with what is held."""
        self.outbox.clear()
        for type_url, names in self.names.items():
            if names or type_url in self.legacy:
                asked = sorted(names | ({"*"} if names and type_url in self.legacy else set()))
                holding = {name: r.version for name, r in self.held[type_url].items()}
                self.outbox.append(
                    DeltaRequest(type_url, tuple(asked), initial_resource_versions=holding)
                )
                if asked:
                    self.legacy.discard(type_url)
                    self.names[type_url] = set(asked)

    def ask(self, type_url: TypeUrl, names: set[str]) -> None:
        if type_url not in self.names:
            self.names[type_url], self.held[type_url] = set(names), {}
            if not names and type_url in FULL_STATE_TYPES:
                self.legacy.add(type_url)
            self.outbox.append(DeltaRequest(type_url, tuple(sorted(names))))
            return
        dropped = self.names[type_url] - names
        new = names - self.names[type_url]
        if not dropped and not new:
            return
        self.names[type_url] = set(names)
        if "*" in dropped:
            self.legacy.discard(type_url)
        self.outbox.append(DeltaRequest(type_url, tuple(sorted(new)), tuple(sorted(dropped))))
        self.forget(type_url)

    def process(self, response) -> None:
        held = self.held[response.type_url]
        for one in response.resources:
            if self.wants(response.type_url, one.name):
                held[one.name] = one
        for name in response.removed_resources:
            held.pop(name, None)
        self.outbox.append(DeltaRequest(response.type_url, response_nonce=response.nonce))


class SotwClient(Client):
    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[TypeUrl, str] = {}
        self.nonces: dict[TypeUrl, str] = {}

    def start(self) -> None:
        """Say everything again on a new stream."""
        self.outbox.clear()
        self.nonces.clear()
        for type_url in self.names:
            if not self.names[type_url] and type_url in FULL_STATE_TYPES:
                # No names on a new stream are the wildcard, whatever they were before.
                self.legacy.add(type_url)
            self.say(type_url)

    def ask(self, type_url: TypeUrl, names: set[str]) -> None:
        if type_url not in self.names:
            self.held[type_url] = {}
            if type_url in FULL_STATE_TYPES:
                self.legacy.add(type_url)
        if names:
            self.legacy.discard(type_url)
        self.names[type_url] = set(names)
        self.forget(type_url)
        self.say(type_url)

    def say(self, type_url: TypeUrl) -> None:
        self.outbox.append(
            SotwRequest(
                type_url,
                tuple(sorted(self.names[type_url])),
                self.versions.get(type_url, ""),
                self.nonces.get(type_url, ""),
            )
        )

    def process(self, response) -> None:
        url = response.type_url
        told = {one.name: one for one in response.resources if self.wants(url, one.name)}
        self.held[url] = told if url in FULL_STATE_TYPES else {**self.held[url], **told}
        self.versions[url] = response.version_info
        self.nonces[url] = response.nonce
        self.say(url)


class Subscriptions(RuleBasedStateMachine):
    """One client, one stream at a time, and a snapshot that changes."""

    @initialize(variant=st.sampled_from(["delta", "sotw"]), endpoints_rather=st.booleans())
    def begin(self, variant, endpoints_rather):
        self.types = other_types if endpoints_rather else types
        self.client = DeltaClient() if variant == "delta" else SotwClient()
        self.new_talk = DeltaTalk if variant == "delta" else SotwTalk
        self.archive = Archive()
        self.content: dict[tuple[TypeUrl, str], str] = {}
        self.talk = self.new_talk(archive=self.archive)
        self.wire: deque = deque()
        self.publish()

    def publish(self) -> None:
        self.talk.offer(
            node_snapshot(*(MAKERS[url](name, text) for (url, name), text in self.content.items()))
        )

    @rule(data=st.data(), name=st.sampled_from(NAMES), text=st.sampled_from("123"))
    def put(self, data, name, text):
        self.content[data.draw(self.types), name] = text
        self.publish()

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def remove(self, data, name):
        self.content.pop((data.draw(self.types), name), None)
        self.publish()

    @rule(data=st.data(), names=some_names)
    def ask(self, data, names):
        self.client.ask(data.draw(self.types), names)

    @rule()
    def write(self):
        response = self.talk.session.next_response()
        if response is not None:
            note(f"told {response}")
            self.wire.append(response)

    @rule()
    def read(self):
        if self.wire:
            self.client.process(self.wire.popleft())

    @rule()
    def hear(self):
        if self.client.outbox:
            self.talk.say(self.client.outbox.popleft())

    @rule()
    def reconnect(self):
        desired = self.talk.desired
        self.talk = self.new_talk(archive=self.archive)
        self.talk.offer(desired)
        self.wire.clear()
        self.client.start()

    @rule()
    def come_to_rest(self):
        for _ in range(1000):
            self.write()
            self.read()
            self.hear()
            if not self.wire and not self.client.outbox:
                response = self.talk.session.next_response()
                if response is None:
                    break
                self.wire.append(response)
        else:
            pytest.fail("the stream never comes to rest")
        for type_url in self.client.names:
            self.check(type_url)
        assert self.talk.in_sync() or not self.talk.session.subscribed_types

    def check(self, type_url: TypeUrl) -> None:
        expected = {
            name: MAKERS[type_url](name, text)
            for (url, name), text in self.content.items()
            if url == type_url and self.client.wants(type_url, name)
        }
        held = self.client.held[type_url]
        if isinstance(self.client, SotwClient) and type_url not in FULL_STATE_TYPES:
            held = {name: one for name, one in held.items() if name in expected}
        assert held == expected, type_url

    def teardown(self):
        if hasattr(self, "talk"):
            self.come_to_rest()


TestSubscriptions = Subscriptions.TestCase
TestSubscriptions.settings = settings(
    report_multiple_bugs=False,
    max_examples=int(os.environ.get("MAXEX", "60")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
