"""What an edit takes away from Envoys that may be at work for a request, and how it goes gently.

Pools and servers that leave are served on beside what the registry says: first as they were, until
no route leads to them, then with their servers DRAINING, which get no new requests. When it is time
for that, and for them to go, is not decided here.

Source: "HTTP/EDS endpoint configuration (proto)" and "Eventual consistency considerations".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from snapshots import assignments
from snapshots.assignments import Server
from snapshots.consistency import references
from snapshots.ir import names
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE, SECRET

POOLS = "pools"
"""How the origin of a cluster begins that is a pool."""
ALL = 100
"""Percent."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A pool, or one server of a pool that stays, that one group of Envoys is to lose."""

    group: str
    """The key of `Snapshot.nodes`."""
    cluster: str
    """The name of the cluster."""
    server: Server | None = None
    """None: the whole pool."""
    kept: tuple[Resource, ...] = field(default=(), compare=False)
    """Of a pool: its cluster, its load assignment if it has one, its secrets. Of a server: a load
    assignment of nothing but it."""
    goes_on: bool = field(default=False, compare=False)
    """Of a pool: whether it stays in the registry and gets another cluster."""
    is_chosen_early: bool = field(default=False, compare=False)
    """Of a pool: whether Envoy chooses it when the head of a request is there, by its path. While
    the body is on its way, no load report tells of it."""
    cut_off: bool = field(default=True, compare=False)
    """Whether it gets no request any more as soon as it is DRAINING, without harm to requests: its
    pool has other servers. Else the routes must have gone first."""

    @property
    def place(self) -> tuple[str, str, Server]:
        """By what several of them are sorted: a pool before its servers."""
        return self.group, self.cluster, self.server or ("", 0)

    @property
    def pool(self) -> str:
        """The name of the pool in the registry."""
        return self.kept[0].origin[1]

    @property
    def address(self) -> str | None:
        """The server as the registry writes it; None: the whole pool."""
        if self.server is None:
            return None
        host, port = self.server
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.server is not None:
            return f"{self.address} of {self.pool}"
        return f"old cluster {self.cluster} of {self.pool}" if self.goes_on else f"pool {self.pool}"


def leaving(old: Snapshot, new: Snapshot) -> tuple[Leaving, ...]:
    """Return what is in *old* and not in *new*, both as registries say."""
    found: list[Leaving] = []
    for group in sorted(old.nodes.keys() & new.nodes.keys()):
        before, after = old.nodes[group], new.nodes[group]
        if before.version != after.version:
            found += _pools(group, before, after)
            found += _servers(group, before, after)
    return tuple(found)


def _pools(group: str, before: NodeSnapshot, after: NodeSnapshot) -> Iterator[Leaving]:
    clusters, now = before.types[CLUSTER].resources, after.types[CLUSTER].resources
    left = sorted(clusters.keys() - now.keys())
    stay = {cluster.origin for cluster in now.values()} if left else set()
    early = before.types[ROUTE].resources.get(names.NO_MODEL_ROUTES)
    by_path = set(references(early)) if early and left else set()
    for name in left:
        cluster = clusters[name]
        if cluster.origin[:1] == (POOLS,):
            named = (before.types[url].resources[to] for url, to in references(cluster))
            yield Leaving(
                group,
                name,
                kept=(cluster, *named),
                goes_on=cluster.origin in stay,
                is_chosen_early=(CLUSTER, name) in by_path,
                cut_off=False,
            )


def _servers(group: str, before: NodeSnapshot, after: NodeSnapshot) -> Iterator[Leaving]:
    was, now = before.types[ENDPOINT].resources, after.types[ENDPOINT].resources
    for name in sorted(was.keys() & now.keys()):
        if was[name].version != now[name].version:
            yield from _missing(group, was[name], after)


def _missing(group: str, was: Resource, after: NodeSnapshot) -> tuple[Leaving, ...]:
    """Return the servers of the load assignment *was* that are not in *after*."""
    now = assignments.read_assignment(after.types[ENDPOINT].resources[was.name])
    stay = set(assignments.servers(now))
    before = assignments.one_by_one(assignments.read_assignment(was))
    gone = sorted((each for each in before if each[0] not in stay), key=itemgetter(0))
    cluster = Cluster.FromString(after.types[CLUSTER].resources[was.name].body)
    if _may_eject_all(cluster, len(stay), len(gone)):
        return ()
    return tuple(
        Leaving(
            group,
            was.name,
            server,
            kept=(assignments.write_assignment(alone, was),),
            cut_off=bool(stay),
        )
        for server, alone in gone
    )


def _may_eject_all(cluster: Cluster, stay: int, more: int) -> bool:
    """Return whether Envoy may leave all alone that *stay* while it has so many *more*.

    Of all servers, those that are draining included, it ejects no more than a share. An active
    health check takes an ejection back.
    """
    outliers = cluster.outlier_detection
    enforced = (
        outliers.enforcing_consecutive_local_origin_failure,
        outliers.enforcing_consecutive_5xx,
    )
    if not stay or cluster.health_checks or not any(share.value for share in enforced):
        return False
    most = outliers.max_ejection_percent.value
    return bool(most < ALL <= most * (stay + more) / stay)


def servers_left_behind(item: Leaving, snapshot: Snapshot) -> tuple[Leaving, ...]:
    """Return the servers of the pool *item* that leave all the same, although it is back.

    That is, those that it does not have in *snapshot*.
    """
    node = snapshot.nodes.get(item.group, NO_GATEWAY)
    was = [kept for kept in item.kept if kept.type_url == ENDPOINT]
    if not was or was[0].name not in node.types[ENDPOINT].resources:
        return ()
    return _missing(item.group, was[0], node)


def is_back(item: Leaving, snapshot: Snapshot) -> bool:
    """Return whether *snapshot* has again what was leaving."""
    node = snapshot.nodes.get(item.group, NO_GATEWAY)
    if item.server is None:
        return item.cluster in node.types[CLUSTER].resources
    assignment = node.types[ENDPOINT].resources.get(item.cluster)
    if assignment is None:
        return False
    return item.server in set(assignments.servers(assignments.read_assignment(assignment)))


def changed_clusters(old: Snapshot, new: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield group and name of each cluster that is in both and differs.

    Envoy makes a new cluster of it, and counts the requests of that one alone.
    """
    for group in old.nodes.keys() & new.nodes.keys():
        was, now = old.nodes[group].types[CLUSTER], new.nodes[group].types[CLUSTER]
        if was.version != now.version:
            for name in was.resources.keys() & now.resources.keys():
                if was.resources[name].version != now.resources[name].version:
                    yield group, name


def with_leaving(base: Snapshot, items: Iterable[tuple[Leaving, bool]]) -> Snapshot:
    """Return *base* with what is leaving beside it; with each, whether it is to be DRAINING.

    It has the revision of *base*: that tells of the registry.
    """
    by_group: dict[str, list[tuple[Leaving, bool]]] = {}
    for item, is_draining in items:
        by_group.setdefault(item.group, []).append((item, is_draining))
    if not by_group:
        return base
    nodes = dict(base.nodes)
    for group in by_group.keys() & nodes.keys():
        nodes[group] = _joined(nodes[group], by_group[group])
    return replace(base, nodes=nodes)


def _joined(node: NodeSnapshot, items: Iterable[tuple[Leaving, bool]]) -> NodeSnapshot:
    resources = {url: dict(node.types[url].resources) for url in (CLUSTER, ENDPOINT, SECRET)}
    by_cluster: dict[str, list[tuple[Leaving, bool]]] = {}
    for item, is_draining in sorted(items, key=lambda each: each[0].place):
        by_cluster.setdefault(item.cluster, []).append((item, is_draining))
        if item.server is None:
            for kept in item.kept:
                # A secret may have been renewed.
                resources[kept.type_url].setdefault(kept.name, kept)
    for cluster, of_cluster in by_cluster.items():
        if cluster in resources[ENDPOINT]:
            present = resources[ENDPOINT][cluster]
            resources[ENDPOINT][cluster] = _with_servers(present, of_cluster)
    types = {url: TypeSnapshot.of(of_type.values()) for url, of_type in resources.items()}
    return NodeSnapshot.of(node.gateway, {**node.types, **types})


def _with_servers(present: Resource, items: Iterable[tuple[Leaving, bool]]) -> Resource:
    """Return the load assignment *present* with servers that leave, unless they are there still.

    If no server gets new requests then: with what a client is told that may have routes to them.
    """
    told, undrained = assignments.read_assignment(present), assignments.read_assignment(present)
    there = set(assignments.servers(told))
    for item, is_draining in items:
        if item.server is None and is_draining:
            assignments.drain(told)
        elif item.server is not None and item.server not in there:
            _add(told, item, drains=is_draining)
            _add(undrained, item, drains=is_draining and item.cut_off)
    resource = assignments.write_assignment(told, present)
    if not all(map(assignments.is_draining, assignments.members(told))):
        return resource
    return replace(resource, undrained=assignments.write_assignment(undrained, present))


def _add(assignment: ClusterLoadAssignment, item: Leaving, *, drains: bool) -> None:
    alone = assignments.read_assignment(item.kept[0])
    if drains:
        assignments.drain(alone)
    assignments.add(assignment, alone)


def stages(old: Snapshot, new: Snapshot) -> tuple[Snapshot, ...]:
    """Return what is published on the way from *old* to *new*, one after the other."""
    items = leaving(old, new)
    told = [
        with_leaving(new, ((item, drains or item.cut_off) for item in items))
        for drains in (False, True)
    ]
    return (*told, new) if items else (new,)
