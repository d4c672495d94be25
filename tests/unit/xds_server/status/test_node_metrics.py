import pytest
from prometheus_client import CollectorRegistry, generate_latest

from xds_server.node_status import NodeStatus, Rejection
from xds_server.status.node_metrics import NodeCollector, state_of


def node(*, connected=True, converged=True, refuses=False) -> NodeStatus:
    rejected = Rejection("type", "name", "no", "") if refuses else None
    return NodeStatus("id", "cluster", connected, "delta", "1.40.0", None, converged, rejected)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (node(), "converged"),
        (node(converged=False), "behind"),
        (node(converged=False, refuses=True), "refusing"),
        (node(connected=False), "disconnected"),
        (node(connected=False, converged=False, refuses=True), "refusing"),
    ],
)
def test_a_node_is_in_one_state(status, state):
    assert state_of(status) == state


def test_every_state_is_counted_whenever_the_metrics_are_read():
    nodes, metrics = [node()], CollectorRegistry()
    metrics.register(NodeCollector(lambda: nodes))
    nodes.append(node(converged=False))

    text = generate_latest(metrics).decode()

    assert 'modelyard_nodes{state="converged"} 1.0\n' in text
    assert 'modelyard_nodes{state="behind"} 1.0\n' in text
    assert 'modelyard_nodes{state="refusing"} 0.0\n' in text
    assert 'modelyard_nodes{state="disconnected"} 0.0\n' in text
