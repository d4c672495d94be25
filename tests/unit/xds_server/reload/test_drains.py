"""What leaves is kept until every Envoy has taken the edit and says that nothing is in progress."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from snapshots.build import SnapshotBuilder
from snapshots.consistency import check_consistency
from snapshots.leaving import leaving
from snapshots.render import render
from snapshots.snapshot import Snapshot
from tests.support.registries import registry
from tests.support.reporting import Reporting
from xds_server.moments import Moment
from xds_server.reload import drains as drains_module
from xds_server.reload.drains import Drains, Wait

AT = Moment(datetime(2025, 1, 2, tzinfo=UTC), 0.0)
LONGEST_S = 60.0
A, B = "10.0.0.1:8000", "10.0.0.2:8000"


def built(endpoints: str = A, pool: str = "p", more: str = "") -> Snapshot:
    """Return the snapshot of a model on *pool*; the pool `p` has *endpoints*."""
    text = f"""
pools:
  p: {{endpoints: [{endpoints}]{more}}}
  q: {{endpoints: ["10.0.0.9:1"]}}
models: {{m: {{pool: {pool}}}, n: {{pool: q}}}}
"""
    return SnapshotBuilder().build(registry(text))


def servers(snapshot: Snapshot) -> dict[str, str]:
    """Return the servers of the pool `p` with their statuses."""
    return {
        member["endpoint"]["address"]["socket_address"]["address"]: member.get("health_status", "")
        for assignment in render(snapshot.nodes["*"])["endpoints"]
        for group in assignment["endpoints"]
        for member in group["lb_endpoints"]
        if assignment["cluster_name"] == "pool/p"
    }


def draining(old: Snapshot, new: Snapshot) -> Drains:
    """Return what leaves by an edit at 0 s; all of it, in this file, is drained."""
    found = Drains()
    found.longest_s = LONGEST_S
    found.edited(old, new, AT, 0.0)
    return found


def looked(found: Drains, *envoys: Reporting, now: float = 1.0) -> list[str]:
    """Return the outcome of what leaves now."""
    _, left = found.look([envoy.seen() for envoy in envoys], now)
    return list(left.values())


def waits(found: Drains) -> list[tuple[str, str]]:
    """Return which Envoys the one drain of *found* waits for, and why."""
    [drain] = found.all()
    return [(wait.node_id, wait.why) for wait in drain.waits_for]


def test_a_server_that_leaves_gets_no_requests_while_its_pool_has_others():
    new = built(B)
    found = draining(built(f"{A}, {B}"), new)

    beside = found.beside(new)

    assert servers(beside) == {"10.0.0.1": "DRAINING", "10.0.0.2": ""}
    assert beside.revision == new.revision
    assert beside.nodes["*"].version != new.nodes["*"].version


def test_a_pool_that_leaves_is_as_it_was_until_no_route_leads_there():
    new = built(pool="q")
    found, envoy = draining(built(), new), Reporting()
    envoy.converged_at = None
    looked(found, envoy)

    at_first = found.beside(new)
    envoy.converged_at = 0.5
    looked(found, envoy)

    check_consistency(at_first.nodes["*"])
    assert servers(at_first) == {"10.0.0.1": ""}
    assert servers(found.beside(new)) == {"10.0.0.1": "DRAINING"}


def test_a_pool_that_loses_all_servers_keeps_them_until_no_route_leads_there():
    text = """
pools: {{p: {{endpoints: [{}]}}, q: {{endpoints: ["10.0.0.9:1"]}}}}
models: {{m: {{split: {{p: {}, q: 1}}}}}}
"""
    old, new = (
        SnapshotBuilder().build(registry(text.format(*values))) for values in ((A, 1), ("", 0))
    )
    found = draining(old, new)

    at_first = servers(found.beside(new))
    looked(found, Reporting())

    assert at_first == {"10.0.0.1": ""}
    assert servers(found.beside(new)) == {"10.0.0.1": "DRAINING"}


def one_server_leaving() -> Drains:
    return draining(built(f"{A}, {B}"), built(B))


def test_it_goes_after_two_reports_that_nothing_is_in_progress():
    found, envoy = one_server_leaving(), Reporting()

    outcomes = [looked(found, envoy), looked(found, envoy.says()), looked(found, envoy.says())]

    assert outcomes == [[], [], ["idle"]]
    assert not found


def test_it_stays_while_a_request_is_in_progress():
    found, envoy = one_server_leaving(), Reporting()
    for _ in range(4):
        assert looked(found, envoy) == []
        envoy.says(in_progress=3)

    looked(found, envoy)
    [drain] = found.all()
    assert (drain.in_progress, drain.waits_for) == (3, (Wait("envoy-1", "in_progress", 3),))


def test_reports_before_the_edit_was_taken_do_not_count():
    found, envoy = one_server_leaving(), Reporting()
    envoy.converged_at = None
    for _ in range(4):
        assert looked(found, envoy.says()) == []
    assert waits(found) == [("envoy-1", "behind")]
    envoy.converged_at = 4.5

    assert looked(found, envoy) == looked(found, envoy.says()) == []
    assert waits(found) == [("envoy-1", "reporting")]
    assert looked(found, envoy.says()) == ["idle"]


def test_reports_that_do_not_tell_of_the_cluster_do_not_count():
    found, envoy = one_server_leaving(), Reporting()

    assert [looked(found, envoy.says(told=False)) for _ in range(5)] == [[]] * 5


def test_every_envoy_is_waited_for():
    found, one, other = one_server_leaving(), Reporting("one"), Reporting("other")
    for envoy in (one, one, other):
        envoy.says()

    assert looked(found, one, other) == []
    assert waits(found) == [("other", "reporting")]
    assert looked(found, one, other.says()) == ["idle"]


def test_an_envoy_of_another_group_is_not_waited_for():
    found, envoy = one_server_leaving(), Reporting()
    other = Reporting("other", group="elsewhere")

    assert looked(found, envoy.says().says(), other) == ["idle"]


def test_an_envoy_that_was_connected_just_now_is_waited_for():
    found, envoy, gone = one_server_leaving(), Reporting().says().says(), Reporting("gone")
    gone.gone_at = 0.9

    assert looked(found, envoy, gone) == []
    assert waits(found) == [("gone", "disconnected")]
    assert looked(found, envoy) == ["idle"]


def test_a_pool_leaves_its_routes_without_an_envoy_that_is_not_connected():
    new = built(pool="q")
    found, gone = draining(built(), new), Reporting("gone")
    gone.gone_at, gone.converged_at = 0.9, None

    assert looked(found, gone) == []
    assert servers(found.beside(new)) == {"10.0.0.1": ""}
    looked(found, Reporting(), gone)
    assert servers(found.beside(new)) == {"10.0.0.1": "DRAINING"}


@pytest.mark.parametrize("there", [False, True], ids=["none", "old"])
def test_without_reports_the_deadline_decides(there):
    found, silent = one_server_leaving(), Reporting("silent")
    silent.load = None
    envoys = [silent] if there else []

    assert looked(found, *envoys, now=LONGEST_S - 1) == []
    assert waits(found) == [("silent", "no_reports") for _ in envoys]
    assert looked(found, *envoys, now=LONGEST_S) == ["deadline"]


def test_of_many_envoys_that_are_waited_for_ten_are_named():
    found = one_server_leaving()

    looked(found, *(Reporting(f"envoy-{n}") for n in range(12)))

    assert (len(waits(found)), found.all()[0].waiting) == (10, 12)


def test_the_deadline_ends_what_is_in_progress_too():
    found = one_server_leaving()

    assert looked(found, Reporting().says(3), now=LONGEST_S) == ["deadline"]


CHANGED = ", max_requests: 5"


def test_a_cluster_that_changes_too_is_not_believed_to_have_nothing_in_progress():
    found, envoy = draining(built(f"{A}, {B}"), built(B, more=CHANGED)), Reporting()

    assert [looked(found, envoy.says()) for _ in range(5)] == [[]] * 5
    assert waits(found) == [("envoy-1", "not_counted")]
    assert looked(found, envoy, now=LONGEST_S) == ["idle"]


@pytest.mark.parametrize(("later_s", "outcomes"), [(20, []), (60, ["idle"])])
def test_a_pool_that_leaves_is_believed_once_its_last_change_is_long_ago(later_s, outcomes):
    changed, envoy = built(more=CHANGED), Reporting()
    found = draining(built(), changed)
    found.edited(changed, built(pool="q"), AT, float(later_s))
    envoy.now = envoy.converged_at = later_s + 0.5
    looked(found, envoy, now=envoy.now)

    assert looked(found, envoy.says().says(), now=envoy.now) == outcomes


def test_what_left_by_its_deadline_may_be_at_work_if_it_leaves_once_more():
    old, new = built(f"{A}, {B}"), built(B)
    found = one_server_leaving()
    assert looked(found, Reporting().says(3), now=LONGEST_S) == ["deadline"]
    found.edited(new, old, AT, LONGEST_S + 1)
    found.edited(old, new, AT, LONGEST_S + 2)

    looked(found, Reporting().says().says(), now=LONGEST_S + 5)
    assert waits(found) == [("envoy-1", "not_counted")]


def test_what_is_back_is_no_longer_leaving():
    found = one_server_leaving()
    found.edited(built(B), built(f"{A}, {B}"), AT, 5.0)

    assert not found


def test_a_pool_that_comes_back_with_other_servers_goes_on_to_drain_those_it_had():
    found = draining(built(), built(pool="q"))
    back = built(B)
    found.edited(built(pool="q"), back, AT, 5.0)

    assert servers(found.beside(back)) == {"10.0.0.1": "DRAINING", "10.0.0.2": ""}
    assert [drain.begun for drain in found.all()] == [0.0]


def test_a_pool_that_leaves_takes_the_servers_along_that_left_it_before():
    found, gone = one_server_leaving(), built(pool="q")
    found.edited(built(B), gone, AT, 5.0)

    assert servers(found.beside(gone)) == {"10.0.0.1": "DRAINING", "10.0.0.2": ""}
    assert [drain.leaving.title for drain in found.all()] == ["pool p", f"{A} of p"]


def test_servers_that_left_a_pool_are_gone_with_it():
    found, gone, envoy = one_server_leaving(), built(pool="q"), Reporting()
    found.edited(built(B), gone, AT, 5.0)
    looked(found, envoy)

    assert looked(found, envoy.says().says()) == ["idle", "idle"]
    assert not found


def test_a_pool_that_gets_another_cluster_is_not_told_to_leave():
    found = draining(built(), built(more=', headers: {request: {set: {x: "1"}}}'))

    assert [drain.leaving.title for drain in found.all()] == ["old cluster pool/p of p"]


def test_an_edit_of_something_else_leaves_a_drain_as_it_is():
    found = one_server_leaving()
    found.edited(built(B), built(f"{B}, 10.0.0.3:1"), AT, 5.0)

    assert [drain.begun for drain in found.all()] == [0.0]


def test_a_file_that_says_so_ends_what_drains_earlier_or_later():
    found, envoy = one_server_leaving(), Reporting().says(3)
    found.longest_s = 2 * LONGEST_S
    assert looked(found, envoy, now=LONGEST_S) == []
    found.longest_s = 0.0

    assert looked(found, envoy, now=LONGEST_S) == ["deadline"]


def test_with_no_time_to_drain_all_leaves_at_once():
    found = Drains()

    assert found.edited(built(), built(pool="q"), AT, 0.0) == ([], 0)
    assert not found


def test_what_leaves_beyond_the_limit_leaves_at_once(monkeypatch):
    monkeypatch.setattr(drains_module, "MAX_DRAINS", 1)
    found = Drains()
    found.longest_s = LONGEST_S

    begun, at_once = found.edited(built(f"{A}, {B}"), built(pool="q"), AT, 0.0)
    assert (len(begun), at_once) == (1, 0)

    _, at_once = found.edited(built(f"{A}, {B}"), built(pool="q"), AT, 0.0)
    assert at_once == 1


def test_with_many_envoys_the_first_that_left_are_looked_at_first(monkeypatch):
    monkeypatch.setattr(drains_module, "MAX_LOOKS", 1)
    found, envoy = draining(built(f"{A}, {B}"), built(B)), Reporting().says().says()
    found.edited(built(B), built("10.0.0.3:1"), AT, 5.0)

    assert [drain.leaving.address for drain in found.looked_at(1)] == [A]
    assert looked(found, envoy) == ["idle"]
    assert [drain.leaving.address for drain in found.looked_at(1)] == [B]


UNCHECKED = ", health_check: false"
HALF = "outlier_detection: {max_ejected_percent: 50}"


@pytest.mark.parametrize(
    ("before", "after", "more", "drained"),
    [
        (f"{A}, {B}", B, "", 1),
        (f"{A}, {B}", B, UNCHECKED, 0),
        (A, B, UNCHECKED, 0),
        (f"{A}, {B}, 10.0.0.3:1", f"{B}, 10.0.0.3:1", UNCHECKED, 0),
        (f"{A}, {B}", B, f"{UNCHECKED}, outlier_detection: false", 1),
        (f"{A}, {B}, 10.0.0.3:1", f"{B}, 10.0.0.3:1", f"{UNCHECKED}, {HALF}", 1),
        (A, "", UNCHECKED, 1),
    ],
    ids=["checked", "unchecked", "replaced", "three", "not-ejected", "half-of-three", "emptied"],
)
def test_servers_that_are_draining_do_not_have_envoy_leave_the_last_server_alone(
    before, after, more, drained
):
    """It counts them among those of which it leaves no more than a share alone."""
    text = """
pools: {{p: {{endpoints: [{}]{}}}, q: {{endpoints: ["10.0.0.9:1"]}}}}
models: {{m: {{split: {{p: {}, q: 1}}}}}}
"""
    old, new = (
        SnapshotBuilder().build(registry(text.format(servers, more, int(bool(servers)))))
        for servers in (before, after)
    )

    assert len(leaving(old, new)) == drained


def test_a_pool_that_a_path_led_to_stays_a_while_for_uploads_that_are_on_their_way():
    text = """
pools: {p: {endpoints: ["10.0.0.1:8000"]}, q: {endpoints: ["10.0.0.9:1"]}}
models: {m: {pool: p, paths: [/v1/m]}, n: {pool: q}}
"""
    old, new = (
        SnapshotBuilder().build(registry(each))
        for each in (text, text.replace("pool: p", "pool: q"))
    )
    found, envoy = draining(old, new), Reporting()

    looked(found, envoy, now=5.0)
    at_first = servers(found.beside(new))
    looked(found, envoy, now=6.0)
    assert at_first == {"10.0.0.1": ""}
    assert servers(found.beside(new)) == {"10.0.0.1": "DRAINING"}
