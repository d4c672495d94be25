"""Whatever happens in whatever order, clients that behave like Envoy end with the snapshot.

One delta and one state-of-the-world client share a quarantine, as the streams of a process do.
Edits, writes, reads and reconnects interleave at random; requests and responses cross on the wire.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, FULL_STATE_TYPES, PUSH_ORDER, ROUTE, TypeUrl
from tests.support.reference_client import DeltaClient, SotwClient, Temper
from tests.support.snapshots import (
    cluster,
    draining,
    endpoints,
    listener,
    node_snapshot,
    route,
    scope,
)
from tests.support.stream_rules import Stream
from tests.support.talk import DeltaTalk, SotwTalk, Talk
from xds_server.protocol.archive import Archive
from xds_server.protocol.events import SotwRequest, Verdict
from xds_server.protocol.quarantine import Quarantine

POOLS = ("pool/a", "pool/a-2", "pool/b")
MODELS = ("m", "n")
LISTENERS = ("l", "k")

contents = st.sampled_from(["1", "2", "3"])
contents_or_bad = st.sampled_from(["1", "2", "3", "bad"])
which = st.sampled_from(["delta", "sotw"])


class Fleet(RuleBasedStateMachine):
    """The world: a registry, two streams, and the steps that can be taken."""

    contents = contents_or_bad

    @initialize(
        delta=st.builds(Temper, st.booleans(), st.booleans(), st.booleans()),
        sotw=st.builds(Temper, st.booleans(), st.booleans(), st.booleans()),
    )
    def begin(self, delta, sotw):
        self.quarantine, self.archive = Quarantine(), Archive()
        self.restarted = False
        self.pools = {"pool/a": ("1", "1")}
        self.leaving = set()
        self.models = {"m": ("1", ("pool/a",))}
        self.listeners = {"l": "1"}
        self.scopes = "1"
        self.desired = self.snapshot()
        self.clients = {"delta": DeltaClient(delta), "sotw": SotwClient(sotw)}
        self.streams = {variant: self.connect(variant) for variant in self.clients}

    def connect(self, variant: str) -> Stream:
        kind = DeltaTalk if variant == "delta" else SotwTalk
        client = self.clients[variant]
        talk = kind(self.quarantine, self.archive, is_envoy=client.temper.withholds_cds)
        talk.offer(self.desired)
        return Stream(client, talk)

    def snapshot(self) -> NodeSnapshot:
        resources: list[Resource] = []
        for name, (content, servers) in self.pools.items():
            told = draining if name in self.leaving else endpoints
            resources += [cluster(name, content), told(name, servers)]
        for name, (content, pools) in self.models.items():
            resources += [scope(name, name, self.scopes), route(name, *pools, content=content)]
        resources += [listener(name, content) for name, content in self.listeners.items()]
        return node_snapshot(*resources)

    def publish(self) -> None:
        self.desired = self.snapshot()
        note(f"publish {self.pools} {self.models} {self.listeners}")
        self.offer()

    def offer(self) -> None:
        for stream in self.streams.values():
            stream.talk.offer(self.desired)
            stream.rules.offered(stream.talk.served().snapshot)

    @rule(name=st.sampled_from(POOLS), content=st.data(), servers=st.data())
    def put_pool(self, name, content, servers):
        self.pools[name] = (content.draw(self.contents), servers.draw(self.contents))
        self.leaving.discard(name)
        self.publish()

    @rule(name=st.sampled_from(MODELS), content=st.data(), data=st.data())
    def put_model(self, name, content, data):
        stay = sorted(self.pools.keys() - self.leaving)
        if not stay:
            return
        pools = st.lists(st.sampled_from(stay), unique=True, min_size=1, max_size=2)
        self.models[name] = (content.draw(self.contents), tuple(data.draw(pools)))
        self.publish()

    @rule(
        old=st.sampled_from(POOLS),
        new=st.sampled_from(POOLS),
        content=st.data(),
        drains=st.booleans(),
    )
    def move_to_another_pool(self, old, new, content, drains):
        """The edit that loses requests if anything is out of order."""
        if old == new or old not in self.pools or old in self.leaving:
            return
        self.pools[new] = (content.draw(self.contents), content.draw(self.contents))
        self.leaving.discard(new)
        if drains:
            self.leaving.add(old)
        else:
            del self.pools[old]
        for name, (version, pools) in self.models.items():
            self.models[name] = (
                version,
                tuple(dict.fromkeys(new if p == old else p for p in pools)),
            )
        self.publish()

    @rule(name=st.sampled_from(MODELS))
    def remove_model(self, name):
        if self.models.pop(name, None):
            self.publish()

    @rule(name=st.sampled_from(POOLS))
    def remove_pool(self, name):
        if name in self.pools and not any(name in pools for _, pools in self.models.values()):
            del self.pools[name]
            self.leaving.discard(name)
            self.publish()

    @rule(name=st.sampled_from(POOLS))
    def bring_pool_back(self, name):
        if name in self.leaving:
            self.leaving.discard(name)
            self.publish()

    @rule(name=st.sampled_from(LISTENERS), content=st.data())
    def put_listener(self, name, content):
        self.listeners[name] = content.draw(self.contents)
        self.publish()

    @rule(name=st.sampled_from(LISTENERS))
    def remove_listener(self, name):
        if self.listeners.pop(name, None):
            self.publish()

    @rule(content=st.data())
    def change_scopes(self, content):
        self.scopes = content.draw(contents)
        self.publish()

    @rule(variant=which)
    def write(self, variant):
        self.streams[variant].write()

    @rule(variant=which)
    def read(self, variant):
        self.streams[variant].read()

    @rule(variant=which)
    def hear(self, variant):
        before = self.quarantine.serial
        self.streams[variant].hear()
        if self.quarantine.serial != before:
            self.offer()

    @rule(variant=which)
    def reconnect(self, variant):
        self.streams[variant] = self.connect(variant)

    @rule()
    def restart(self):
        """A new control plane knows nothing of what was sent, held or refused before."""
        self.quarantine, self.archive = self.successor(), Archive()
        self.restarted = True
        self.streams = {variant: self.connect(variant) for variant in self.clients}

    def successor(self) -> Quarantine:
        return Quarantine()

    @rule(url=st.sampled_from(PUSH_ORDER), nonce=st.sampled_from(["0", "never"]))
    def say_something_stale(self, url, nonce):
        """A stale request changes nothing."""
        talk = self.streams["sotw"].talk
        if url in talk.session.subscribed_types:
            before = fingerprint(talk)

            received = talk.session.receive(SotwRequest(url, ("ghost",), "9", nonce, "stale"))

            assert received.verdict is Verdict.STALE
            assert fingerprint(talk) == before

    @precondition(lambda self: hasattr(self, "streams"))
    @rule()
    def come_to_rest(self):
        for _ in range(1000):
            for variant in self.streams:
                self.write(variant)
                self.read(variant)
                self.hear(variant)
            if not any(self.has_more(stream) for stream in self.streams.values()):
                break
        else:
            raise AssertionError("the streams never come to rest")
        for variant, stream in self.streams.items():
            # A state-of-the-world client does not tell a new control plane what it holds. If it
            # then refuses something, it is told nothing that could take away the older version.
            if variant == "delta" or not (self.restarted and self.is_refused()):
                check_at_rest(stream, self.desired)
        if not self.is_refused():
            delta, sotw = (self.clients[variant].held for variant in ("delta", "sotw"))
            assert delta == sotw

    def has_more(self, stream: Stream) -> bool:
        if not stream.quiet or stream.write():
            return True
        served = stream.talk.served().snapshot.types[ENDPOINT].resources
        if stream.client.warming and not stream.client.warming & served.keys():
            stream.client.give_up_warming()
            return True
        return False

    def is_refused(self) -> bool:
        return any(
            s.talk.refused or s.talk.served().snapshot is not self.desired
            for s in self.streams.values()
        )

    @invariant()
    def no_working_route_was_broken(self):
        """What worked leads to clusters that are there, whatever was refused."""
        for variant, stream in getattr(self, "streams", {}).items():
            # For the same reason it loses its older clusters before its routes have left them.
            if variant == "delta" or not self.restarted:
                assert not stream.client.broken

    def teardown(self):
        if hasattr(self, "streams"):
            self.come_to_rest()


class FleetWithoutRefusals(Fleet):
    """The same where every content is good: then nobody ends with less than everything."""

    contents = contents


class FleetWithState(Fleet):
    """The same where a new control plane goes on with what was refused of the last one."""

    def successor(self) -> Quarantine:
        after = Quarantine()
        after.restore(self.quarantine.kept())
        before = self.quarantine.effective(self.desired)
        assert after.effective(self.desired) == before
        return after


def fingerprint(talk: Talk) -> str:
    """Return everything that a session knows."""
    ledgers = talk.session._ledgers  # noqa: SLF001
    return repr([(url, vars(one), vars(one.client)) for url, one in ledgers.items()])


def check_at_rest(stream: Stream, desired: NodeSnapshot) -> None:
    served = stream.talk.served()
    for type_url in PUSH_ORDER:
        expected = dict(served.snapshot.types[type_url].resources)
        held = dict(stream.client.held[type_url])
        if type_url not in FULL_STATE_TYPES:
            asked = stream.client.names.get(type_url, set())
            expected = {name: r for name, r in expected.items() if name in asked}
        for name in served.withheld.get(type_url, ()):
            held.pop(name, None)
        if may_keep_more(stream, type_url):
            held = {name: r for name, r in held.items() if name in expected}
            # Nor do its servers cease to get requests.
            undrained = {r.version for r in expected.values() if r.undrained == held.get(r.name)}
            expected = {n: held[n] if r.version in undrained else r for n, r in expected.items()}
        assert held == expected, type_url
    refused = stream.talk.refused or served.snapshot is not desired
    assert refused or stream.talk.in_sync()


def may_keep_more(stream: Stream, type_url: TypeUrl) -> bool:
    """While a refusal stands, what older routes may need is not removed."""
    if type_url == ROUTE:
        return isinstance(stream.talk, SotwTalk)
    return type_url in (CLUSTER, ENDPOINT) and bool(
        stream.talk.refused or stream.talk.served().withheld
    )


SETTINGS = settings(
    report_multiple_bugs=False,
    max_examples=int(os.environ.get("MAXEX", "60")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestFleet = Fleet.TestCase
TestFleet.settings = SETTINGS
TestFleetWithoutRefusals = FleetWithoutRefusals.TestCase
TestFleetWithoutRefusals.settings = SETTINGS
TestFleetWithState = FleetWithState.TestCase
TestFleetWithState.settings = SETTINGS
