"""Who asks for a companion's health, and who has heard that it stops."""

from __future__ import annotations

from time import monotonic_ns

from xds_server.ext_proc.health import ASKED_LATELY_MS, Health, is_told, is_watched
from xds_server.ext_proc.ledger import Column, Ledger


def test_nobody_watches_who_never_asked():
    ledger = Ledger(2)
    Health(ledger.rows[0]).peer()

    assert not is_watched(ledger)


def test_all_have_heard_when_each_was_told_not_serving_whichever_worker_told_it():
    ledger = Ledger(2)
    first, second = (Health(row) for row in ledger.rows)
    peers = [first.peer(), first.peer(), second.peer()]
    silent = second.peer()

    assert [peer.is_serving() for peer in peers] == [True] * 3
    assert is_watched(ledger)
    first.serving = second.serving = False
    assert not is_told(ledger)
    assert [peer.is_serving() for peer in peers[:2]] == [False] * 2
    assert not is_told(ledger)
    assert not peers[2].is_serving()
    assert is_told(ledger)

    for peer in (*peers, silent):
        peer.gone()
    assert ledger.sum(Column.PEERS_UNTOLD) == 0


def test_who_leaves_need_not_be_told():
    ledger = Ledger()
    health = Health(ledger.rows[0])
    staying, leaving = health.peer(), health.peer()
    staying.is_serving()
    leaving.is_serving()
    health.serving = False
    staying.is_serving()

    assert not is_told(ledger)
    leaving.gone()
    assert is_told(ledger)


def test_who_asks_by_one_connection_after_the_other_is_waited_for():
    ledger = Ledger()
    health = Health(ledger.rows[0])
    first = health.peer()
    first.is_serving()
    first.gone()
    health.serving = False

    assert is_watched(ledger)
    assert not is_told(ledger)
    health.peer().is_serving()
    assert is_told(ledger)


def test_who_asked_long_ago_is_not():
    ledger = Ledger()
    [row] = ledger.rows
    row[Column.LAST_CHECK_MS] = monotonic_ns() // 1_000_000 - ASKED_LATELY_MS - 1

    assert not is_watched(ledger)


def test_it_is_said_whenever_a_peer_hears_of_the_end_or_leaves():
    told = []
    health = Health(Ledger().rows[0], lambda: told.append(1))
    asking, leaving = health.peer(), health.peer()
    asking.is_serving()
    leaving.is_serving()
    assert told == []

    health.serving = False
    asking.is_serving()
    leaving.gone()

    assert told == [1, 1]
