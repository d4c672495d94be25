import click
import pytest

from xds_server.cli.durations import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("50ms", 0.05), ("1.5s", 1.5), ("5m", 300.0), ("1h", 3600.0)],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1 s", "1d", "s", "1e3s", "1.s", "٣s", "1s\n"])
def test_anything_else_is_wrong_usage_with_an_example(text):
    with pytest.raises(click.BadParameter, match="is not a duration, like 50ms"):
        duration(text)
