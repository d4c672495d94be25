"""The numbers of a companion as Prometheus reads them."""

from __future__ import annotations

import os

import pytest

from xds_server.ext_proc.exposition import exposition
from xds_server.ext_proc.ledger import Column, Ledger, forget_the_dead
from xds_server.ext_proc.metrics import Metrics


def lines(ledger: Ledger) -> list[str]:
    return exposition(ledger).decode().splitlines()


def test_every_refusal_is_there_before_it_happens():
    assert 'modelyard_ext_proc_refusals_total{code="invalid_json"} 0.0' in lines(Ledger())
    assert 'modelyard_ext_proc_refusals_total{code="model_not_found"} 0.0' in lines(Ledger())


def test_requests_refusals_and_bodies_are_counted():
    ledger = Ledger()
    metrics = Metrics(ledger.rows[0])

    metrics.extracted(500, 0.000_05)
    metrics.answered(None)
    metrics.extracted(2000, 0.002)
    metrics.answered("missing_model")
    metrics.answered("missing_model")

    counted = lines(ledger)
    assert 'modelyard_ext_proc_requests_total{worker="0"} 3.0' in counted
    assert 'modelyard_ext_proc_refusals_total{code="missing_model"} 2.0' in counted
    assert 'modelyard_ext_proc_body_bytes_bucket{le="1024.0"} 1.0' in counted
    assert "modelyard_ext_proc_body_bytes_sum 2500.0" in counted
    assert 'modelyard_ext_proc_extraction_seconds_bucket{le="0.0001"} 1.0' in counted
    assert "modelyard_ext_proc_extraction_seconds_count 2.0" in counted
    assert "modelyard_ext_proc_extraction_seconds_sum 0.00205" in counted


@pytest.mark.parametrize(
    ("size", "bucket"), [(0, "256.0"), (256, "256.0"), (257, "1024.0"), (2**40, "+Inf")]
)
def test_a_bound_belongs_to_its_bucket(size, bucket):
    ledger = Ledger()
    Metrics(ledger.rows[0]).extracted(size, 0)

    first = next(line for line in lines(ledger) if "body_bytes_bucket" in line and " 1.0" in line)
    assert f'le="{bucket}"' in first


def test_the_numbers_of_all_workers_are_in_one_answer():
    ledger = Ledger(2)
    first, second = (Metrics(row) for row in ledger.rows)

    first.answered(None)
    second.answered("invalid_json")
    second.answered("invalid_json")
    first.connection_opened()
    second.connection_opened()
    second.connection_closed(failed=True)

    counted = lines(ledger)
    assert 'modelyard_ext_proc_requests_total{worker="0"} 1.0' in counted
    assert 'modelyard_ext_proc_requests_total{worker="1"} 2.0' in counted
    assert 'modelyard_ext_proc_refusals_total{code="invalid_json"} 2.0' in counted
    assert 'modelyard_ext_proc_connections{worker="0"} 1.0' in counted
    assert 'modelyard_ext_proc_connections{worker="1"} 0.0' in counted
    assert "modelyard_ext_proc_connection_failures_total 1.0" in counted


def test_two_companions_in_one_process_count_apart():
    first, second = Ledger(), Ledger()

    Metrics(first.rows[0]).answered(None)

    assert 'modelyard_ext_proc_requests_total{worker="0"} 0.0' in lines(second)


def test_what_a_process_that_died_had_counted_stays_and_what_it_held_goes():
    ledger = Ledger()
    [row] = ledger.rows
    metrics = Metrics(row)
    metrics.answered(None)
    metrics.connection_opened()
    row[Column.STREAMS] = 3

    forget_the_dead(row)

    counted = lines(ledger)
    assert 'modelyard_ext_proc_requests_total{worker="0"} 1.0' in counted
    assert 'modelyard_ext_proc_connections{worker="0"} 0.0' in counted
    assert 'modelyard_ext_proc_streams{worker="0"} 0.0' in counted


def test_another_process_sees_what_a_forked_one_counts():
    ledger = Ledger(2)
    pid = os.fork()
    if not pid:
        Metrics(ledger.rows[1]).answered(None)
        os._exit(0)
    os.waitpid(pid, 0)

    assert 'modelyard_ext_proc_requests_total{worker="1"} 1.0' in lines(ledger)


def test_memory_and_cpu_time_are_told_of_processes_that_live():
    ledger = Ledger(2)
    ledger.rows[0][Column.PID] = os.getpid()

    text = exposition(ledger, parent=os.getpid()).decode()

    assert 'modelyard_ext_proc_resident_memory_bytes{process="0"}' in text
    assert 'modelyard_ext_proc_cpu_seconds_total{process="parent"}' in text
    assert '{process="1"}' not in text
