"""The counters as Prometheus reads them."""

from __future__ import annotations

from xds_server.ext_proc.metrics import Metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_every_refusal_is_there_before_it_happens():
    assert 'modelyard_ext_proc_refusals_total{code="invalid_json"} 0.0' in lines(Metrics())
    assert 'modelyard_ext_proc_refusals_total{code="model_not_found"} 0.0' in lines(Metrics())


def test_requests_refusals_and_bodies_are_counted():
    metrics = Metrics()

    metrics.extracted(500, 0.000_05)
    metrics.answered(None)
    metrics.extracted(2000, 0.002)
    metrics.answered("missing_model")
    metrics.answered("missing_model")

    counted = lines(metrics)
    assert "modelyard_ext_proc_requests_total 3.0" in counted
    assert 'modelyard_ext_proc_refusals_total{code="missing_model"} 2.0' in counted
    assert 'modelyard_ext_proc_body_bytes_bucket{le="1024.0"} 1.0' in counted
    assert "modelyard_ext_proc_body_bytes_sum 2500.0" in counted
    assert 'modelyard_ext_proc_extraction_seconds_bucket{le="0.0001"} 1.0' in counted
    assert "modelyard_ext_proc_extraction_seconds_count 2.0" in counted


def test_two_companions_in_one_process_count_apart():
    first, second = Metrics(), Metrics()

    first.answered(None)

    assert "modelyard_ext_proc_requests_total 0.0" in lines(second)
