import sys

from hypothesis import given
from hypothesis import strategies as st

from snapshots.snapshot import Resource
from snapshots.type_urls import CLUSTER
from xds_server.protocol.layered import FEW, Layered

MANY = 10 * FEW


def resources(count: int, body: bytes = b"") -> dict[str, Resource]:
    return {f"c{n}": Resource.of(CLUSTER, f"c{n}", body) for n in range(count)}


NAMES = st.sampled_from([f"c{n}" for n in range(2 * FEW)])
BODIES = st.sampled_from([b"", b"1", b"2"])
EDITS = st.one_of(
    st.tuples(st.just("set"), NAMES, BODIES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("share"), st.integers(0, 2 * FEW), BODIES),
)


@given(st.integers(0, 2 * FEW), st.lists(EDITS, max_size=60))
def test_it_is_the_mapping_that_the_same_edits_make_of_a_plain_one(count, edits):
    plain = resources(count)
    layered = Layered(plain)
    for what, *how in edits:
        if what == "set":
            name, body = how
            layered[name] = plain[name] = Resource.of(CLUSTER, name, body)
        elif what == "delete":
            assert layered.pop(how[0], None) == plain.pop(how[0], None)
        else:
            layered.share(resources(*how))
        assert dict(layered) == plain
        assert len(layered) == len(plain)
        assert all((name in layered) == (name in plain) for name in resources(2 * FEW))
        assert all(layered.find(name) == plain.get(name) for name in resources(2 * FEW))


def test_what_the_base_has_too_takes_no_memory_of_its_own():
    base = resources(MANY)
    layered = Layered(base)

    layered.share(base)
    layered["c0"] = Resource.of(CLUSTER, "c0", b"other")
    del layered["c1"]

    own = (layered._set, layered._deleted)  # noqa: SLF001 - its size is what it is for
    assert [len(part) for part in own] == [1, 1]
    assert sum(map(sys.getsizeof, own)) < sys.getsizeof(base) / 10
    assert len(layered) == MANY - 1


def test_edits_that_follow_each_other_do_not_pile_up():
    base = resources(MANY)
    layered = Layered(base)
    for _ in range(20):
        base = base | resources(FEW, str(id(base)).encode())
        layered.update(base)
        layered.share(base)

        assert len(layered._set) <= 2 * FEW  # noqa: SLF001 - its size is what it is for


def test_a_base_that_has_little_in_common_is_not_gone_by():
    mine = resources(MANY, b"mine")
    layered = Layered(mine)

    layered.share(resources(MANY, b"other"))

    assert dict(layered) == mine
