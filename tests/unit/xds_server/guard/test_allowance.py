"""How much a node may take of the loop, and how often it may ask."""

import pytest

from xds_server.guard.allowance import Allowance, Bucket
from xds_server.guard.limits import Limit, LimitError, Limits


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_bucket_tells_for_how_long_it_is_short(clock):
    bucket = Bucket(10, 2, clock)

    assert bucket.take(10) == 0
    assert bucket.take(4) == 2
    clock.now += 2
    assert bucket.take(0) == 0


def test_a_bucket_never_holds_more_than_it_can(clock):
    bucket = Bucket(10, 2, clock)
    clock.now += 100

    assert bucket.take(12) == 1


def test_work_within_the_allowance_waits_for_nothing(clock):
    allowance = Allowance(Limits(work_s=5, work_share=0.2), clock)

    assert allowance.worked(4.9) == 0


def test_work_beyond_it_leaves_the_loop_to_others_for_its_share(clock):
    allowance = Allowance(Limits(work_s=5, work_share=0.2), clock)
    allowance.worked(5.0)

    assert allowance.worked(0.1) == pytest.approx(0.5)


def test_streams_that_open_without_end_wait_too(clock):
    allowance = Allowance(Limits(work_s=1, work_share=0.5, open_work_s=0.25), clock)

    assert [allowance.opened() for _ in range(6)] == [0, 0, 0, 0, 0.5, 1.0]


def test_requests_run_out_if_they_are_more_than_what_comes_back(clock):
    allowance = Allowance(Limits(requests=10, requests_per_s=5), clock)
    for _ in range(10):
        allowance.asked(100)
    clock.now += 1
    for _ in range(5):
        allowance.asked(100)

    with pytest.raises(LimitError, match="10 requests at once") as flood:
        allowance.asked(100)

    assert flood.value.limit is Limit.REQUESTS


def test_long_requests_count_more(clock):
    allowance = Allowance(Limits(requests=10, requests_per_s=5, request_unit_bytes=1000), clock)
    allowance.asked(9_000)

    with pytest.raises(LimitError):
        allowance.asked(100)
