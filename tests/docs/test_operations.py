"""docs/operations.md names every log event and every metric that the code has, and no others."""

import re

from tests.docs.shell import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "xds_server").rglob("*.py")))

KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "Histogram": "histogram",
    "CounterMetricFamily": "counter",
    "HistogramMetricFamily": "histogram",
    "InfoMetricFamily": "gauge",
}


def test_the_log_events_are_those_of_the_code():
    logged = re.findall(
        r"\b_?log\.(?:debug|info|warning|error|exception)\(\s*\"([\w.]+)\"", SOURCES
    )
    told = re.findall(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \|", OPERATIONS, re.MULTILINE)

    assert sorted(told) == sorted(set(logged))


def test_the_metrics_are_those_of_the_code():
    exposed = re.findall(rf"\b({'|'.join(KINDS)})\(\s*\"(modelyard_\w+)\"", SOURCES)
    told = re.findall(
        r"^\| `(modelyard_\w+?)(?:\{[\w,]+\})?` \| (\w+) \|", OPERATIONS, re.MULTILINE
    )

    suffixes = {"Counter": "_total", "CounterMetricFamily": "_total", "InfoMetricFamily": "_info"}
    expected = {
        (name.removesuffix("_total") + suffixes.get(kind, ""), KINDS[kind])
        for kind, name in exposed
    }
    assert sorted(told) == sorted(expected)
