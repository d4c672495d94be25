"""What a client asked for and gave up is not kept."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT
from tests.support.snapshots import pool
from tests.support.talk import SotwTalk
from xds_server.protocol.ledger import Ledger


def kept(ledger: Ledger) -> set[str]:
    """Return every name in any container of *ledger*."""
    containers = [value for value in vars(ledger).values() if isinstance(value, dict | set)]
    return set().union(ledger.subscription.names, *containers)


def test_names_that_exist_nowhere_are_forgotten_with_their_subscription():
    talk = SotwTalk()
    talk.publish(*pool("p"))
    talk.subscribe(CLUSTER)
    talk.subscribe(ENDPOINT, "pool/p")
    talk.settle()
    for turn in range(5):
        talk.subscribe(ENDPOINT, *(f"made-up-{turn}-{n}" for n in range(100)))
        talk.settle()
    talk.subscribe(ENDPOINT, "pool/p")
    talk.settle()

    ledger = talk.session._ledgers[ENDPOINT]  # noqa: SLF001 - memory is not seen from outside
    assert not [name for name in kept(ledger) if "made-up" in name]
