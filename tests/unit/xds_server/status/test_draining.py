from datetime import UTC, datetime, timedelta

import pytest

from snapshots.leaving import Leaving
from snapshots.type_urls import CLUSTER
from tests.support.snapshots import resource
from xds_server.moments import Moment
from xds_server.reload.drains import Drain
from xds_server.status.draining import draining_views

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
POOL = Leaving("*", "pool/a", kept=(resource(CLUSTER, "pool/a", b"", ("pools", "a")),))


@pytest.mark.parametrize("step", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
def test_what_drains_has_as_long_left_as_before_the_wall_clock_was_stepped(step):
    drain = Drain(POOL, Moment(NOON, 500.0), 0.0, is_draining=True)
    now = Moment(NOON + timedelta(seconds=20) + step, 520.0)
    [view] = draining_views([drain], 60.0, now)

    assert now.at - datetime.fromisoformat(view.since) == timedelta(seconds=20)
    assert datetime.fromisoformat(view.until) - now.at == timedelta(seconds=40)
