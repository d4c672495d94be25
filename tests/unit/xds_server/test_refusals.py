"""What each Envoy refused, as long as it matters."""

from snapshots.type_urls import CLUSTER
from tests.support.snapshots import cluster, listener, node_snapshot, snapshot
from xds_server.protocol.fallback import refusal_key
from xds_server.refusals import MAX_CONTENTS, MAX_NAME, MAX_NODES, MAX_WORDS, Refusals, Words
from xds_server.store import Published

BAD = cluster("p", "bad", origin=("pools", "p"))
KEY = refusal_key(BAD)


def words(node_id="envoy-1", version="1.40.0", text="no", at="then"):
    return Words(node_id, version, text, at)


def refuse(refusals, resource=BAD, said=None):
    said = said or words()
    refusals.quarantine.refused([resource], said.envoy_version)
    refusals.refused(resource, said, "registry.yaml:3:3 (pools.p)")


def published(*resources, provisional=False):
    now = snapshot(*resources)
    return Published(1, now, now, provisional)


def test_what_a_node_refused_is_not_offered_to_it_again():
    refusals = Refusals()
    refuse(refusals)

    assert refusals.own("envoy-1", is_fresh=True) == {KEY}
    assert refusals.own("envoy-2", is_fresh=True) == frozenset()


def test_an_envoy_that_starts_may_try_the_listener_that_it_could_not_have():
    refusals = Refusals()
    refuse(refusals, listener("l"))

    assert refusals.own("envoy-1", is_fresh=False) == {refusal_key(listener("l"))}
    assert refusals.own("envoy-1", is_fresh=True) == frozenset()


def test_a_node_of_another_version_is_offered_it_once_more():
    refusals = Refusals()
    refuse(refusals)

    refusals.opened("envoy-1", "1.40.0")
    assert refusals.own("envoy-1", is_fresh=False) == {KEY}
    refusals.opened("envoy-1", "1.41.0")
    assert refusals.own("envoy-1", is_fresh=False) == frozenset()


def test_who_takes_it_in_the_end_has_not_refused_it():
    refusals = Refusals()
    refuse(refusals)
    refuse(refusals, said=words("envoy-2"))

    refusals.taken("envoy-1", (BAD, cluster("q")))

    assert refusals.own("envoy-1", is_fresh=False) == frozenset()
    assert refusals.own("envoy-2", is_fresh=False) == {KEY}


def test_others_of_that_version_are_told_who_refused_it():
    refusals = Refusals()
    refuse(refusals)
    desired = node_snapshot(BAD)

    content, said = refusals.kept_from(desired, "1.40.0")
    assert (content.key, content.place, said) == (KEY, "registry.yaml:3:3 (pools.p)", words())
    assert refusals.kept_from(desired, "1.41.0") is None
    assert refusals.kept_from(node_snapshot(cluster("p", "good")), "1.40.0") is None


def test_what_nobody_is_to_have_any_more_is_forgotten():
    refusals = Refusals()
    refuse(refusals)
    serial = refusals.serial

    refusals.settle(published(BAD))
    assert refusals.own("envoy-1", is_fresh=False) == {KEY}
    refusals.settle(published(cluster("p", "good")))
    assert refusals.own("envoy-1", is_fresh=False) == frozenset()
    assert refusals.serial > serial


def test_a_snapshot_that_may_be_older_than_the_registry_settles_nothing():
    refusals = Refusals()
    refuse(refusals)

    refusals.settle(published(cluster("p", "good"), provisional=True))

    assert refusals.own("envoy-1", is_fresh=False) == {KEY}


def test_another_process_goes_on_with_what_was_kept():
    before, after = Refusals(), Refusals()
    refuse(before)
    refuse(before, said=words("envoy-2", text="no, too"))

    after.restore(before.kept())

    assert after.kept() == before.kept()
    assert [said.error_detail for _, said in after.of("envoy-2")] == ["no, too"]
    assert after.own("envoy-1", is_fresh=False) == {KEY}
    assert after.quarantine.is_kept_from("1.40.0", KEY)


def test_what_is_remembered_is_bounded():
    refusals = Refusals()
    for n in range(MAX_CONTENTS + 5):
        refuse(refusals, cluster("p", str(n)))
    for n in range(MAX_NODES + 5):
        refuse(refusals, said=words(f"envoy-{n}", text="x" * 10_000))
    refuse(refusals, said=words("x" * (MAX_NAME + 1)))

    contents = refusals.kept().contents
    assert len(contents) == MAX_CONTENTS
    assert contents[-1].key == KEY
    assert len(contents[-1].by) == MAX_NODES
    assert {len(said.error_detail) for said in contents[-1].by.values()} == {MAX_WORDS}
    assert f"envoy-{MAX_NODES + 4}" in contents[-1].by


def test_the_key_tells_type_name_and_version():
    assert (CLUSTER, "p", BAD.version) == KEY
