"""Durations and sizes, from text and back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.registry.problems import ValueRefusedError
from snapshots.registry.quantities import (
    MAX_SIZE,
    check_size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("300s", 300), ("1.5s", 1.5), ("5m", 300), ("250ms", 0.25), ("1h", 3600), ("24h", 86400)),
        *(("0s", 0), ("0.001s", 0.001), ("0.25h", 900), ("1.0ms", 0.001), ("86400000ms", 86400)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "300", "300 s", "-1s", "+1s", "1m30s", "1d", "1S", ".5s", "5.s", "1,5s", "1e3s"),
        *(
            "٣s",
            "infs",
            "1s\n",
            "1" * 5000 + "s",
            "0.5ms",
            "0.0001s",
            "24.001h",
            "25h",
            "999999999h",
        ),
    ],
)
def test_what_is_no_usable_duration_is_refused(text):
    with pytest.raises(ValueRefusedError):
        parse_duration(text)


@given(st.integers(0, 86_400_000))
def test_a_duration_reads_what_it_writes(milliseconds):
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("16MiB", 16 * 2**20), ("512KiB", 2**19), ("1GiB", 2**30), ("1MB", 10**6)),
        *(("2kB", 2000), ("2KB", 2000), ("1GB", 10**9), ("7B", 7), ("0B", 0)),
    ],
)
def test_a_size_is_a_whole_number_and_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "16", "MiB", "16 MiB", "1.5MiB", "-1MiB", "16M", "16mib", "٣B", "1B\n", "1" * 5000]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueRefusedError):
        parse_size(text)


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1])
def test_a_size_that_envoy_cannot_hold_is_refused(size):
    with pytest.raises(ValueRefusedError):
        check_size(size)


@given(st.integers(1, MAX_SIZE))
def test_a_size_reads_what_it_writes(size):
    assert parse_size(format_size(size)) == size
    assert check_size(size) == size


def test_values_are_written_in_a_unit_that_people_read():
    assert format_size(16 * 2**20) == "16MiB"
    assert format_duration(timedelta(minutes=5)) == "300s"
    assert format_duration(timedelta(seconds=1.5)) == "1500ms"
