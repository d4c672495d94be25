"""Which type may be sent now? Make before break.

Implements "Eventual consistency considerations" of the xDS protocol page. Envoy 1.40 withholds its
ACK of CDS while a cluster is warming, which lasts until its endpoints came and were checked. So
CDS, EDS and SDS never wait for an answer to each other, and what leads to a cluster waits for all;
but not what leads elsewhere, as one server that hangs can keep its cluster warming for long.
"""

from __future__ import annotations

from collections.abc import Mapping

from snapshots.type_urls import CLUSTER, ENDPOINT, PUSH_ORDER, REMOVAL_ORDER, SECRET, TypeUrl
from xds_server.protocol.ledger import Ledger

Ledgers = Mapping[TypeUrl, Ledger]

NEVER_WAIT = frozenset({CLUSTER, ENDPOINT, SECRET})


def may_reply(type_url: TypeUrl, ledgers: Ledgers) -> bool:
    """Return whether something that the client waits for may be sent.

    It waits for nothing but clusters that could not be sent yet: the client will process them
    first if they are written first.
    """
    if type_url in NEVER_WAIT or type_url not in PUSH_ORDER:
        return True
    clusters = ledgers.get(CLUSTER)
    return clusters is None or not clusters.unsent


def may_change(type_url: TypeUrl, ledgers: Ledgers, warming: bool) -> bool:
    """Return whether updates of what the client may hold already can be sent.

    Even then only those that lead to no cluster which the client has yet to make ready. With
    *warming* it has clusters of which it is not known which are ready.
    """
    if type_url in NEVER_WAIT or type_url not in PUSH_ORDER:
        return True
    earlier = PUSH_ORDER[: PUSH_ORDER.index(type_url)]
    return not warming and all(_is_in_time(ledgers.get(url)) for url in earlier)


def may_remove(type_url: TypeUrl, ledgers: Ledgers, awaiting_endpoints: bool) -> bool:
    """Return whether removals can be sent: everything was answered and its users are gone.

    While a refusal stands, clients may go on with older routes than they should have, so the
    clusters that those could name stay.
    """
    if awaiting_endpoints or not all(_settled(ledgers.get(url)) for url in PUSH_ORDER):
        return False
    if type_url not in REMOVAL_ORDER:
        return True
    if type_url in NEVER_WAIT and any(ledger.stands_refused() for ledger in ledgers.values()):
        return False
    earlier = REMOVAL_ORDER[: REMOVAL_ORDER.index(type_url)]
    return not any(url in ledgers and ledgers[url].removals for url in earlier)


def _settled(ledger: Ledger | None) -> bool:
    return ledger is None or not (ledger.outstanding or ledger.unsent)


def _is_in_time(ledger: Ledger | None) -> bool:
    """Return whether all of an earlier type was sent, and answered unless that may take long."""
    if ledger is None or ledger.type_url not in NEVER_WAIT:
        return _settled(ledger)
    return not ledger.unsent
