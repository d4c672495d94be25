"""What is served in place of refused resources."""

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from tests.support.quarantines import accepted, served
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    model,
    node_snapshot,
    pool,
    route,
    scope,
)
from xds_server.protocol.accepted import VERSIONS_REMEMBERED
from xds_server.protocol.fallback import refusal_key
from xds_server.protocol.quarantine import MAX_GATEWAYS, Quarantine


def test_while_nothing_is_refused_the_snapshot_itself_is_served():
    quarantine = Quarantine()
    desired = node_snapshot(*pool("p"))

    assert quarantine.effective(desired).snapshot is desired
    assert quarantine.effective(desired) is quarantine.effective(desired)


def test_a_refused_version_is_replaced_by_the_last_accepted_one():
    quarantine = Quarantine()
    accepted(quarantine, cluster("p", "1"), endpoints("p"))
    desired = node_snapshot(cluster("p", "bad"), endpoints("p"))
    quarantine.effective(desired)

    quarantine.refused([cluster("p", "bad")])

    assert served(quarantine, desired, CLUSTER) == {"p": cluster("p", "1")}


def test_changed_content_is_served():
    quarantine = Quarantine()
    accepted(quarantine, *pool("p"))
    quarantine.effective(node_snapshot(cluster("p", "bad"), endpoints("p")))
    quarantine.refused([cluster("p", "bad")])
    repaired = node_snapshot(cluster("p", "good"), endpoints("p"))

    assert quarantine.effective(repaired).snapshot is repaired


def test_what_was_never_accepted_is_withheld():
    quarantine = Quarantine()
    desired = node_snapshot(cluster("p", "bad"), endpoints("p"))
    quarantine.effective(desired)
    quarantine.refused([cluster("p", "bad")])

    assert served(quarantine, desired, CLUSTER) == {}
    assert quarantine.effective(desired).withheld[CLUSTER] == {"p"}


def test_what_one_node_accepts_is_not_kept_from_the_others():
    quarantine = Quarantine()
    desired = accepted(quarantine, *pool("p"))
    quarantine.refused([cluster("p")])

    assert quarantine.effective(desired).snapshot is desired


def test_an_acceptance_after_the_refusal_lifts_it():
    quarantine = Quarantine()
    desired = node_snapshot(*pool("p"))
    quarantine.effective(desired)
    quarantine.refused([cluster("p")])
    before = quarantine.serial

    quarantine.accepted(desired.gateway, [cluster("p")])

    assert quarantine.serial > before
    assert quarantine.effective(desired).snapshot is desired


def test_who_refused_is_not_told_again_even_if_others_accept():
    quarantine = Quarantine()
    accepted(quarantine, cluster("p", "1"), endpoints("p"))
    desired = accepted(quarantine, cluster("p", "2"), endpoints("p"))
    own = frozenset({refusal_key(cluster("p", "2"))})

    assert quarantine.effective(desired, own).snapshot.types[CLUSTER].resources == {
        "p": cluster("p", "1")
    }


def test_a_route_to_a_cluster_that_cannot_be_had_stays_as_it_was():
    quarantine = Quarantine()
    accepted(quarantine, *pool("old"), *model("m", "old"))
    desired = node_snapshot(cluster("new", "bad"), endpoints("new"), *model("m", "new"))
    quarantine.effective(desired)
    quarantine.refused([cluster("new", "bad")])

    assert served(quarantine, desired, ROUTE) == {"m": route("m", "old")}
    assert served(quarantine, desired, CLUSTER) == {"old": cluster("old")}
    assert served(quarantine, desired, ENDPOINT)["old"] == endpoints("old")


def test_a_new_model_of_a_cluster_that_cannot_be_had_is_withheld_with_its_scope():
    quarantine = Quarantine()
    desired = node_snapshot(cluster("p", "bad"), endpoints("p"), *model("m", "p"))
    quarantine.effective(desired)
    quarantine.refused([cluster("p", "bad")])

    withheld = quarantine.effective(desired).withheld
    assert withheld == {CLUSTER: {"p"}, ROUTE: {"m"}, SCOPED_ROUTE: {"m"}}


def test_a_cluster_whose_endpoints_cannot_be_had_is_withheld():
    quarantine = Quarantine()
    desired = node_snapshot(cluster("p"), endpoints("p", "bad"))
    quarantine.effective(desired)
    quarantine.refused([endpoints("p", "bad")])

    assert quarantine.effective(desired).withheld == {ENDPOINT: {"p"}, CLUSTER: {"p"}}


def test_an_older_route_is_not_served_if_its_clusters_are_forgotten():
    quarantine = Quarantine()
    desired = node_snapshot(*pool("new"), scope("m", "m"), route("m", "new", content="bad"))
    quarantine.effective(desired)
    quarantine.accepted(desired.gateway, [route("m", "unheard of")])

    quarantine.refused([route("m", "new", content="bad")])

    assert quarantine.effective(desired).withheld[ROUTE] == {"m"}


def test_every_stream_may_try_a_listener_that_was_never_accepted():
    """Whether it can be had depends on the host, such as on a port in use."""
    quarantine = Quarantine()
    desired = node_snapshot(listener("l"))
    quarantine.effective(desired)
    quarantine.refused([listener("l")])
    own = frozenset({refusal_key(listener("l"))})

    assert served(quarantine, desired, LISTENER) == {"l": listener("l")}
    assert quarantine.effective(desired, own).withheld == {LISTENER: {"l"}}


def test_a_refused_listener_is_replaced_by_the_one_before():
    quarantine = Quarantine()
    accepted(quarantine, listener("l", "1"))
    desired = node_snapshot(listener("l", "2"))
    quarantine.effective(desired)
    quarantine.refused([listener("l", "2")])

    assert served(quarantine, desired, LISTENER) == {"l": listener("l", "1")}


def test_gateways_do_not_share_what_was_accepted():
    quarantine = Quarantine()
    one = node_snapshot(listener("l", "1"), gateway="one")
    quarantine.effective(one)
    quarantine.accepted("one", [listener("l", "1")])
    two = node_snapshot(listener("l", "bad"), gateway="two")
    quarantine.effective(two)
    quarantine.refused([listener("l", "bad")])

    assert quarantine.effective(two).snapshot is not one
    assert served(quarantine, two, LISTENER) == {"l": listener("l", "bad")}


def test_what_is_gone_is_forgotten():
    quarantine = Quarantine()
    accepted(quarantine, *(cluster(f"p{n}") for n in range(100)))
    accepted(quarantine)
    accepted(quarantine, listener("l"))

    (gateway,) = quarantine._gateways.values()  # noqa: SLF001
    assert list(gateway.accepted) == [(LISTENER, "l")]


def test_only_the_last_versions_are_remembered():
    quarantine = Quarantine()
    for n in range(10):
        accepted(quarantine, cluster("p", str(n)))

    (gateway,) = quarantine._gateways.values()  # noqa: SLF001
    assert len(gateway.accepted[CLUSTER, "p"]) == VERSIONS_REMEMBERED


def test_a_late_ack_of_an_older_version_does_not_make_it_the_last():
    quarantine = Quarantine()
    accepted(quarantine, cluster("p", "1"))
    accepted(quarantine, cluster("p", "2"))
    quarantine.accepted("default", [cluster("p", "1")])
    desired = node_snapshot(cluster("p", "bad"))
    quarantine.effective(desired)
    quarantine.refused([cluster("p", "bad")])

    assert served(quarantine, desired, CLUSTER) == {"p": cluster("p", "2")}


def test_only_so_many_gateways_are_remembered():
    quarantine = Quarantine()
    for n in range(MAX_GATEWAYS + 5):
        quarantine.effective(node_snapshot(gateway=f"g{n}"))

    assert len(quarantine._gateways) == MAX_GATEWAYS  # noqa: SLF001
