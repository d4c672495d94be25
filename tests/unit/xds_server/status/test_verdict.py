"""Has the fleet taken what somebody waits for?"""

from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from xds_server.node_status import NodeStatus, Rejection, RejectionElsewhere
from xds_server.status.verdict import TOLD, Asked, judge
from xds_server.status.views import RegistryView, status_view

REFUSAL = Rejection("type", "pool/a", "no good", "registry.yaml:3:3 (pools.a)")


def node(name, *, connected=True, converged=True, rejected=None):
    return NodeStatus(name, "default", connected, "delta", "1.40.0", "now", converged, rejected)


GOOD, OTHER = node("good"), node("other")
BEHIND = node("behind", converged=False)
REFUSING = node("refusing", converged=False, rejected=REFUSAL)
KEPT_FROM = replace(
    node("kept-from", converged=False),
    kept_from=RejectionElsewhere(**asdict(REFUSAL), by="refusing"),
)
GONE = node("gone", connected=False, converged=False)


def verdict(*nodes, asked=Asked(), read=True, error=None):  # noqa: B008 - frozen
    view = status_view("now", RegistryView("registry.yaml", "", error), nodes, datetime.now(UTC))
    return judge(view, asked, read=read)


@pytest.mark.parametrize(
    ("nodes", "wanted", "outcome"),
    [
        ((GOOD, OTHER), None, "converged"),
        ((GOOD, BEHIND), None, "pending"),
        ((), None, "pending"),
        ((GONE,), None, "pending"),
        ((GOOD, GONE), None, "converged"),
        ((GOOD, REFUSING), None, "refused"),
        ((GOOD, REFUSING, BEHIND), None, "pending"),
        ((GOOD, KEPT_FROM), None, "refused"),
        ((GOOD, KEPT_FROM, BEHIND), None, "pending"),
        ((), 0, "converged"),
        ((GOOD, BEHIND), 1, "converged"),
        ((GOOD, REFUSING), 1, "converged"),
        ((GOOD, REFUSING), 2, "refused"),
        ((GOOD, OTHER), 3, "pending"),
        ((GOOD, GONE), 2, "pending"),
    ],
)
def test_all_that_are_connected_must_have_it_or_as_many_as_asked_for(nodes, wanted, outcome):
    assert verdict(*nodes, asked=Asked(nodes=wanted)).outcome == outcome


def test_nothing_is_decided_before_the_files_have_been_read():
    assert verdict(GOOD, read=False).outcome == "pending"
    assert verdict(GOOD, read=False, error="of the content before").outcome == "pending"


def test_a_file_that_is_refused_is_an_answer_whatever_the_envoys_run():
    told = verdict(GOOD, error="registry.yaml:1:1: no")

    assert (told.outcome, told.error) == ("refused", "registry.yaml:1:1: no")


def test_a_revision_that_is_asked_for_may_be_served_while_another_content_is_refused():
    assert verdict(GOOD, asked=Asked("now"), read=False, error="no").outcome == "converged"
    assert verdict(GOOD, asked=Asked("later"), error="no").outcome == "pending"


def test_many_nodes_are_counted_and_the_first_are_told():
    told = verdict(*(node(f"n{i:03}", converged=False) for i in range(50)), REFUSING, GONE)

    assert (told.connected, told.converged) == (51, 0)
    assert (told.behind.count, len(told.behind.first)) == (50, TOLD)
    assert told.behind.first[0].id == "n000"
    assert told.refusing.first[0].rejected == REFUSAL
    assert told.disconnected.first == (GONE,)
