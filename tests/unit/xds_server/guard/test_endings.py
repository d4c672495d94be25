"""What is said of streams that a limit has ended."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from xds_server.guard.endings import SAID_AGAIN_AFTER_S, Endings
from xds_server.guard.limits import Limit, LimitError


class Call:
    """A stream of somebody."""

    def __init__(self, peer):
        self._peer = peer

    def peer(self):
        return self._peer


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def end(endings, peer="ipv4:10.0.0.1:4000", node_id="", limit=Limit.NAMES):
    endings.tell(Call(peer), LimitError(limit, "too many"), node_id)


def test_every_end_is_counted():
    metrics = CollectorRegistry()
    endings = Endings(metrics)
    for _ in range(3):
        end(endings)

    assert metrics.get_sample_value("modelyard_xds_streams_limited_total", {"limit": "names"}) == 3


def test_one_line_tells_of_a_node_and_a_limit_until_a_minute_has_passed():
    clock = Clock()
    endings = Endings(CollectorRegistry(), clock)
    with capture_logs() as lines:
        end(endings, node_id="a")
        end(endings, node_id="a", peer="ipv4:10.0.0.1:4001")
        end(endings, node_id="a", limit=Limit.TYPES)
        end(endings, node_id="b")
        clock.now += SAID_AGAIN_AFTER_S
        end(endings, node_id="a")

    assert [(line["node_id"], line["limit"]) for line in lines] == [
        ("a", "names"), ("a", "types"), ("b", "names"), ("a", "names")
    ]  # fmt: skip


def test_who_has_no_node_yet_is_known_by_the_address_whatever_the_port():
    endings = Endings(CollectorRegistry())
    with capture_logs() as lines:
        end(endings, peer="ipv4:10.0.0.1:4000")
        end(endings, peer="ipv4:10.0.0.1:4001")
        end(endings, peer="ipv4:10.0.0.2:4000")

    assert [line["peer"] for line in lines] == ["ipv4:10.0.0.1:4000", "ipv4:10.0.0.2:4000"]


def test_of_many_nodes_there_are_ten_lines_in_a_second():
    clock = Clock()
    endings = Endings(CollectorRegistry(), clock)
    with capture_logs() as lines:
        for n in range(2_000):
            end(endings, node_id=f"node-{n}")
        clock.now += 1
        end(endings, node_id="one more")

    assert [line["left_out"] for line in lines] == [0] * 10 + [1_990]
