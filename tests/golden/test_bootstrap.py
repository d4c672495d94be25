"""The bootstraps in `envoy/` are what the command prints; `make golden` writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from xds_server.cli import main

ENVOY = Path(__file__).parents[2] / "envoy"
PRINTED = ("bootstrap", "--node-id", "envoy-1", "--open-files", "1048576")
"""However many files are allowed on this machine."""


@pytest.mark.parametrize("variant", ["delta", "sotw"])
def test_the_sample_is_what_is_printed(variant, expect_golden):
    printed = CliRunner().invoke(main, [*PRINTED, "--variant", variant])

    assert printed.exit_code == 0
    expect_golden(ENVOY / f"bootstrap-{variant}.yaml", printed.stdout)


def test_delta_is_the_default():
    printed = CliRunner().invoke(main, [*PRINTED])

    assert printed.stdout == (ENVOY / "bootstrap-delta.yaml").read_text()
