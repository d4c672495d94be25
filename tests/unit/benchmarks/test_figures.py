import pytest

from tests.benchmarks.figures import milliseconds, percentile, significant, spread


def test_a_percentile_is_one_of_the_values():
    values = [float(value) for value in range(1, 101)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([7.0], 50) == 7


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_three_digits_are_written(value, written):
    assert significant(value) == written


def test_seconds_are_written_as_milliseconds():
    assert milliseconds(0.0123) == "12.3"


def test_the_spread_is_relative_to_the_median():
    assert spread([90.0, 100.0, 120.0]) == "-10% to +20%"
