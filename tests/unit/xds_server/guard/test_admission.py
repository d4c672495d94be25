"""How many streams there may be, of one node and of all."""

from contextlib import ExitStack

import pytest

from xds_server.guard.admission import Admission
from xds_server.guard.limits import Limit, LimitError, Limits


def test_a_stream_too_many_is_refused_until_another_one_ends():
    admission = Admission(Limits(streams=2))
    with admission.stream():
        with admission.stream():
            with pytest.raises(LimitError, match="2 streams") as refused, admission.stream():
                pass
            assert refused.value.limit is Limit.STREAMS
        with admission.stream():
            pass


def test_a_node_has_so_many_and_another_node_as_many():
    admission = Admission(Limits(streams_per_node=1))
    with (
        admission.node("a"),
        admission.node("b"),
        pytest.raises(LimitError, match="the same node id") as refused,
        admission.node("a"),
    ):
        pass
    with admission.node("a"):
        pass

    assert refused.value.limit is Limit.NODE_STREAMS


def test_streams_of_a_node_share_its_allowance_and_so_does_the_next_one():
    admission = Admission(Limits())
    with admission.node("a") as one, admission.node("a") as other:
        pass
    with admission.node("a") as next_one, admission.node("b") as another:
        pass

    assert one is other is next_one
    assert another is not one


def test_nodes_that_left_are_forgotten_oldest_first_and_those_that_stay_are_not():
    admission = Admission(Limits(streams=2))
    with ExitStack() as stack:
        stays = stack.enter_context(admission.node("stays"))
        with admission.node("a") as first:
            pass
        for name in ("b", "c", "d"):
            with admission.node(name):
                pass
        with admission.node("stays") as same, admission.node("a") as again:
            pass

    assert same is stays
    assert again is not first
