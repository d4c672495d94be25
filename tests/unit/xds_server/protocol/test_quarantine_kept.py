"""From which versions of Envoy what is refused is kept, and what another process goes on with."""

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.quarantines import accepted, served
from tests.support.snapshots import (
    cluster,
    draining,
    endpoints,
    model,
    node_snapshot,
    pool,
    route,
    scope,
    secret,
)
from xds_server.protocol.events import DeltaRequest, SotwRequest
from xds_server.protocol.fallback import refusal_key
from xds_server.protocol.quarantine import MAX_ENVOY_VERSIONS, Quarantine


def refusing(versions=("1",)):
    """Return a quarantine in which the Envoys of these versions refuse a cluster, and that."""
    quarantine = Quarantine()
    accepted(quarantine, cluster("p", "1"), endpoints("p"))
    desired = node_snapshot(cluster("p", "bad"), endpoints("p"))
    quarantine.effective(desired)
    for version in versions:
        quarantine.refused([cluster("p", "bad")], version)
    return quarantine, desired


def test_an_envoy_of_another_version_may_take_what_was_refused():
    quarantine, desired = refusing(("1.40.0",))

    older = quarantine.effective(desired, envoy_version="1.40.0").snapshot
    assert older.types[CLUSTER].resources == {"p": cluster("p", "1")}
    assert quarantine.effective(desired, envoy_version="1.41.0").snapshot is desired


def test_what_two_versions_refused_is_kept_from_both():
    quarantine, desired = refusing(("1.40.0", "1.41.0"))

    told = [quarantine.effective(desired, envoy_version=v).snapshot for v in ("1.40.0", "1.41.0")]
    assert [t.types[CLUSTER].resources["p"] for t in told] == [cluster("p", "1")] * 2
    assert list(quarantine.served_instead(desired)) == told


def test_as_many_versions_as_clients_make_up_are_not_remembered():
    quarantine, desired = refusing([str(n) for n in range(100)])

    for n in range(100):
        quarantine.effective(desired, envoy_version=str(n))

    (kept_from,) = quarantine.kept().refused.values()
    (gateway,) = quarantine._gateways.values()  # noqa: SLF001
    assert len(kept_from) == MAX_ENVOY_VERSIONS
    assert len(gateway.served) <= MAX_ENVOY_VERSIONS + 1


def test_another_process_goes_on_with_what_was_kept():
    before, desired = refusing()
    after = Quarantine()

    after.restore(before.kept())

    assert after.effective(desired, envoy_version="1") == before.effective(
        desired, envoy_version="1"
    )
    assert after.kept() == before.kept()


def test_what_is_kept_holds_the_clusters_that_older_routes_lead_to():
    before = Quarantine()
    accepted(before, *pool("old"), *model("m", "old"), *pool("q"), *model("n", "q"))
    bad = route("m", "new", content="bad")
    desired = node_snapshot(
        *pool("new"),
        scope("m", "m"),
        bad,
        *pool("q"),
        *model("n", "q"),
    )
    before.effective(desired)
    before.refused([bad])
    after = Quarantine()
    after.restore(before.kept())

    assert set(before.kept().accepted["default"]) == {route("m", "old"), *pool("old")}
    assert served(after, desired, ROUTE)["m"] == route("m", "old")
    assert served(after, desired, CLUSTER)["old"] == cluster("old")


def test_what_is_kept_holds_clusters_that_are_still_drained():
    before = Quarantine()
    accepted(before, *pool("old"), *model("m", "old"))
    bad = route("m", "new", content="bad")
    before.effective(node_snapshot(*pool("old"), *pool("new"), scope("m", "m"), bad))
    before.refused([bad])
    after = Quarantine()
    after.restore(before.kept())

    desired = node_snapshot(*pool("new"), scope("m", "m"), bad)

    assert served(after, desired, CLUSTER)["old"] == cluster("old")
    assert served(after, desired, ROUTE)["m"] == route("m", "old")


def test_what_is_kept_of_a_gateway_that_nobody_asked_for_since_is_kept_on():
    before, _ = refusing()
    after = Quarantine()

    after.restore(before.kept())

    assert after.kept() == before.kept()


def test_what_was_kept_outlasts_a_snapshot_that_is_older_than_it():
    """As the one that was stored before the edit that was refused."""
    before, desired = refusing()
    after = Quarantine()
    after.restore(before.kept())

    after.effective(node_snapshot(cluster("p", "1"), endpoints("p")), envoy_version="1")
    after.effective(node_snapshot(gateway="another"))

    older = after.effective(desired, envoy_version="1").snapshot
    assert older.types[CLUSTER].resources == {"p": cluster("p", "1")}


def test_what_was_kept_is_forgotten_once_it_is_known_that_nobody_is_to_have_it():
    before, desired = refusing()
    after = Quarantine()
    after.restore(before.kept())
    repaired = node_snapshot(cluster("p", "good"), endpoints("p"))

    assert after.settle(repaired) == frozenset()

    assert not after.has_refused()
    assert after.effective(desired, envoy_version="1").snapshot is desired


def test_what_somebody_is_to_have_is_still_refused_when_it_is_settled():
    before, desired = refusing()
    after = Quarantine()
    after.restore(before.kept())

    refused = after.settle(node_snapshot(gateway="another"), desired)

    assert refused == {refusal_key(cluster("p", "bad"))}
    older = after.effective(desired, envoy_version="1").snapshot
    assert older.types[CLUSTER].resources == {"p": cluster("p", "1")}


def test_no_secret_is_kept():
    before = Quarantine()
    accepted(before, secret("s", "1"))
    desired = node_snapshot(secret("s", "bad"))
    before.effective(desired)
    before.refused([secret("s", "bad")])

    assert before.kept().accepted == {}
    assert list(before.kept().refused) == [refusal_key(secret("s", "bad"))]


def delta(type_url, *resources):
    versions = {resource.name: resource.version for resource in resources}
    return DeltaRequest(type_url, initial_resource_versions=versions)


def test_what_a_client_comes_back_with_was_accepted():
    quarantine = Quarantine()
    held = node_snapshot(*pool("p"))
    quarantine.claimed(held, delta(CLUSTER, cluster("p")))
    quarantine.claimed(held, delta(ENDPOINT, endpoints("p")))
    desired = node_snapshot(cluster("p", "bad"), endpoints("p"))
    quarantine.effective(desired)

    quarantine.refused([cluster("p", "bad")])

    assert served(quarantine, desired, CLUSTER) == {"p": cluster("p")}


def test_what_a_client_of_state_of_the_world_comes_back_with_was_accepted():
    quarantine = Quarantine()
    held = node_snapshot(cluster("p"))
    quarantine.claimed(held, SotwRequest(CLUSTER, version_info=held.types[CLUSTER].version))
    desired = node_snapshot(cluster("p", "bad"))
    quarantine.effective(desired)

    quarantine.refused([cluster("p", "bad")])

    assert served(quarantine, desired, CLUSTER) == {"p": cluster("p")}


def test_a_version_of_which_a_client_may_hold_a_part_only_tells_nothing():
    """Endpoints and routes are not sent all at once."""
    quarantine = Quarantine()
    held = node_snapshot(endpoints("p"))
    quarantine.claimed(held, SotwRequest(ENDPOINT, version_info=held.types[ENDPOINT].version))

    (gateway,) = quarantine._gateways.values()  # noqa: SLF001
    assert gateway.accepted == {}


def test_who_comes_back_with_what_another_refused_lifts_it():
    quarantine, desired = refusing()
    quarantine.claimed(desired, delta(ENDPOINT, endpoints("p")))
    for _ in range(2):  # the second is not gone through as a whole
        quarantine.claimed(desired, delta(CLUSTER, cluster("p", "1")))
    assert quarantine.is_kept_from("1", refusal_key(cluster("p", "bad")))

    quarantine.claimed(desired, delta(CLUSTER, cluster("p", "bad")))

    assert quarantine.effective(desired, envoy_version="1").snapshot is desired


def test_who_comes_back_with_all_after_another_did_lifts_it_all_the_same():
    quarantine, desired = refusing()
    quarantine.claimed(desired, delta(CLUSTER, cluster("p", "bad")))
    quarantine.refused([cluster("p", "bad")], "2")

    assert not quarantine.is_kept_from("2", refusal_key(cluster("p", "bad")))


def test_a_type_that_is_not_served_is_claimed_in_vain():
    quarantine = Quarantine()

    quarantine.claimed(node_snapshot(), DeltaRequest("type.googleapis.com/other"))


def test_an_older_route_finds_the_servers_of_a_pool_that_is_draining_as_they_were():
    quarantine = Quarantine()
    accepted(quarantine, *pool("p"), *model("m", "p"))
    going = [cluster("p"), draining("p"), *pool("q"), *model("m", "q", content="2")]
    desired = accepted(quarantine, *going)

    own = frozenset({refusal_key(route("m", "q", content="2"))})
    types = quarantine.effective(desired, own).snapshot.types

    assert types[ROUTE].resources["m"] == route("m", "p")
    assert types[ENDPOINT].resources["p"] == endpoints("p")


def test_an_older_route_finds_the_servers_of_a_pool_that_has_drained_as_they_were():
    quarantine = Quarantine()
    accepted(quarantine, *pool("p"), *model("m", "p"))
    accepted(quarantine, cluster("p"), draining("p"), *pool("q"), *model("m", "q", content="2"))
    desired = accepted(quarantine, *pool("q"), *model("m", "q", content="2"))

    own = frozenset({refusal_key(route("m", "q", content="2"))})
    types = quarantine.effective(desired, own).snapshot.types

    assert types[ROUTE].resources["m"] == route("m", "p")
    assert types[ENDPOINT].resources["p"] == endpoints("p")
