"""`modelyard schema` prints what `json_schema` gives."""

from __future__ import annotations

import json

from click.testing import CliRunner

from snapshots.registry.json_schema import json_schema
from xds_server.cli import main


def test_the_json_schema_is_printed_on_stdout():
    result = CliRunner().invoke(main, ["schema"])

    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()
    assert not result.stderr
