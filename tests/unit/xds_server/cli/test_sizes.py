"""Sizes on the command line."""

from __future__ import annotations

import click
import pytest

from xds_server.cli.sizes import size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("65536", 65536), ("1B", 1), ("2KiB", 2048), ("64MiB", 64 << 20), ("1GiB", 1 << 30)],
)
def test_a_size_is_bytes_or_has_a_binary_unit(text, size_bytes):
    assert size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "1.5MiB", "-1", "1 MiB", "1MB", "1mib", "\u0661"])
def test_anything_else_is_wrong_usage(text):
    with pytest.raises(click.BadParameter, match="is not a size, like 512KiB, 64MiB or 1GiB"):
        size(text)
