from datetime import UTC, datetime, timedelta

import pytest

from xds_server.moments import Moment

NOON = datetime(2026, 1, 2, 12, 0, 0, 123000, UTC)
HOUR = timedelta(hours=1)


def later(passed_s: float, stepped: timedelta = timedelta(0)) -> Moment:
    """Return the moment *passed_s* after noon, the wall clock having been *stepped* meanwhile."""
    return Moment(NOON + timedelta(seconds=passed_s) + stepped, 1000.0 + passed_s)


def test_a_moment_is_told_as_it_was():
    assert later(0).told(later(7200)) == NOON


@pytest.mark.parametrize("slewed", [timedelta(milliseconds=900), timedelta(milliseconds=-900)])
def test_a_wall_clock_that_is_kept_right_moves_no_moment(slewed):
    assert later(0).told(later(300, slewed)) == NOON


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_was_five_minutes_ago_stays_so_when_the_wall_clock_is_stepped(step):
    now = later(300, step)

    assert now.at - later(0).told(now) == timedelta(minutes=5)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_happens_after_a_step_is_told_by_the_clock_as_it_is_then(step):
    assert later(10, step).told(later(20, step)) == NOON + timedelta(seconds=10) + step


def test_a_moment_of_a_process_before_is_told_as_that_told_it():
    at = datetime.now(UTC) - HOUR

    assert Moment.known(at).told(Moment.now()) == at


def test_a_moment_that_seems_to_come_is_now():
    moment = Moment.known(datetime.now(UTC) + HOUR)
    now = Moment.now()

    assert timedelta(0) <= now.at - moment.told(now) < timedelta(minutes=1)
