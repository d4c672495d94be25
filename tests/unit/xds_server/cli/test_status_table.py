"""The table of `modelyard status`: what wants attention is what one sees first."""

from datetime import UTC, datetime

import click
import pytest

from xds_server.cli.status_table import ago, status_lines

NOW = "2025-01-02T12:00:00.000Z"
REFUSAL = {
    "type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "resource": "pool/llama-3b",
    "error_detail": "Error adding/updating\ncluster(s) \x1b[31mpool/llama-3b",
    "registry_place": "registry.yaml:4:3 (pools.llama-3b)",
}


def node(name, **changed):
    return {
        "id": name,
        "cluster": "default",
        "connected": True,
        "variant": "delta",
        "envoy_version": "1.40.0",
        "revision": "9f2c41d07ab3e865",
        "converged": True,
        "rejected": None,
        "gateway": "default",
        "connected_at": "2025-01-02T09:59:00.000Z",
        "disconnected_at": None,
        "types": [],
        "last_rejected": None,
        **changed,
    }


def status(*nodes, error=None):
    registry = {"path": "registry.yaml", "loaded_at": "2025-01-02T11:59:30.000Z", "error": error}
    return {"revision": "9f2c41d07ab3e865", "registry": registry, "nodes": nodes, "at": NOW}


def plain(*nodes, **options):
    return [click.unstyle(line) for line in status_lines(status(*nodes, **options))]


def test_a_fleet_that_is_well_is_one_table():
    assert plain(node("envoy-1"), node("e2", cluster="edge")) == [
        "revision 9f2c41d07ab3e865 of registry.yaml, loaded 30 s ago",
        "2 Envoys, all on this revision",
        "",
        "ENVOY    STATE      REVISION          GATEWAY  CLUSTER  VARIANT  VERSION  SINCE",
        "e2       converged  9f2c41d07ab3e865  default  edge     delta    1.40.0   2 h",
        "envoy-1  converged  9f2c41d07ab3e865  default  default  delta    1.40.0   2 h",
    ]


def test_what_wants_attention_comes_first_and_says_what_and_why():
    behind = [
        {"type": "cds", "sent": "a", "acked": "a", "converged": True},
        {"type": "eds", "sent": "e", "acked": "e", "converged": False},
        {"type": "rds", "sent": "b", "acked": None, "converged": False},
    ]
    lines = plain(
        node("a"),
        node("b", connected=False, disconnected_at="2025-01-02T11:58:00.000Z"),
        node("c", converged=False, revision=None, types=behind),
        node("d", converged=False, rejected=REFUSAL, revision="77aa00d07ab3e865"),
    )

    assert lines[1] == "4 Envoys: 1 refusing, 1 behind, 1 disconnected, 1 converged"
    assert lines[4:] == [
        "d      refusing      77aa00d07ab3e865  default  default  delta    1.40.0   2 h",
        "  it refuses Cluster pool/llama-3b",
        "    Envoy says: Error adding/updating cluster(s) ?[31mpool/llama-3b",
        "    it comes from registry.yaml:4:3 (pools.llama-3b)",
        "c      behind        -                 default  default  delta    1.40.0   2 h",
        "  eds: not sent, as long as another Envoy refuses a part of it",
        "  rds: sent b, accepted nothing",
        "b      disconnected  9f2c41d07ab3e865  default  default  delta    1.40.0   2 min",
        "a      converged     9f2c41d07ab3e865  default  default  delta    1.40.0   2 h",
    ]


def test_what_is_not_sent_yet_is_told_so_where_nobody_refuses_anything():
    behind = [{"type": "eds", "sent": "e", "acked": "e", "converged": False}]

    assert plain(node("a", converged=False, types=behind))[-1] == "  eds: not sent yet, runs e"


def test_a_refused_file_is_told_above_everything():
    lines = plain(node("a"), error="registry.yaml:1:1: no\nregistry.yaml:2:1: nor this")

    assert lines[1:4] == [
        "refused, and what was good before is served on:",
        "  registry.yaml:1:1: no",
        "  registry.yaml:2:1: nor this",
    ]


def test_a_fleet_without_envoys_says_so():
    assert plain()[1:] == ["no Envoy has connected since the control plane started"]


def test_rows_are_cut_to_the_terminal_and_the_state_is_coloured():
    lines = status_lines(status(node("envoy-1")), width=30)

    assert lines[-1] == f"envoy-1  {click.style('converged', fg='green')}  9f2c41d07…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d"), (-5, "0 s")],
)
def test_ages_are_told_in_the_largest_unit(seconds, text):
    now = datetime(2025, 1, 2, 12, tzinfo=UTC)
    before = datetime.fromtimestamp(now.timestamp() - seconds, UTC).isoformat()

    assert ago(now, before) == text


def test_what_is_not_given_to_an_envoy_is_told_with_who_refused_it():
    lines = plain(node("new", converged=False, kept_from={**REFUSAL, "by": "envoy-1"}))

    assert lines[4].startswith("new    behind ")
    assert lines[5:] == [
        "  it is not given Cluster pool/llama-3b, which envoy-1 refused",
        "    Envoy says: Error adding/updating cluster(s) ?[31mpool/llama-3b",
        "    it comes from registry.yaml:4:3 (pools.llama-3b)",
    ]
