"""What differs between two snapshots of a gateway."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.diff import TypeDiff, diff
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot, Resource, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, PUSH_ORDER, ROUTE
from tests.support.snapshots import model, node_snapshot, pool

CONTENTS = st.dictionaries(
    st.sampled_from(PUSH_ORDER),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([b"1", b"2"]), max_size=3),
)


def node(contents: dict[str, dict[str, bytes]]) -> NodeSnapshot:
    return NodeSnapshot.of(
        "default",
        {
            url: TypeSnapshot.of(Resource.of(url, name, body) for name, body in named.items())
            for url, named in contents.items()
        },
    )


def test_equal_snapshots_do_not_differ():
    assert diff(node_snapshot(*pool("a")), node_snapshot(*pool("a"))) == {}


def test_each_kind_of_difference_is_told_with_sorted_names():
    old = node_snapshot(*pool("d"), *pool("c"), *pool("b", "1"), *pool("a", "1"), *pool("same"))
    new = node_snapshot(*pool("f"), *pool("e"), *pool("b", "2"), *pool("a", "2"), *pool("same"))

    expected = TypeDiff(added=("e", "f"), changed=("a", "b"), removed=("c", "d"))
    assert diff(old, new) == {CLUSTER: expected, ENDPOINT: expected}


def test_the_types_come_in_the_order_in_which_they_are_sent():
    added = diff(NO_GATEWAY, node_snapshot(*model("m", "a"), *pool("a")))

    assert list(added) == [url for url in PUSH_ORDER if url in added]
    assert added[ROUTE] == TypeDiff(("m",), (), ())


def test_only_a_difference_counts_as_true():
    assert not TypeDiff((), (), ())
    assert TypeDiff((), (), ("a",))


@settings(max_examples=60, deadline=None)
@given(CONTENTS, CONTENTS)
def test_the_old_snapshot_and_the_difference_make_the_new_one(old, new):
    found = diff(node(old), node(new))

    made = {url: dict(named) for url, named in old.items()}
    for url, difference in found.items():
        for name in difference.removed:
            del made[url][name]
        for name in (*difference.added, *difference.changed):
            made.setdefault(url, {})[name] = new[url][name]
    assert node(made).version == node(new).version


@settings(max_examples=60, deadline=None)
@given(CONTENTS, CONTENTS)
def test_the_way_back_differs_likewise(old, new):
    there, back = diff(node(old), node(new)), diff(node(new), node(old))

    assert back == {
        url: TypeDiff(found.removed, found.changed, found.added) for url, found in there.items()
    }
