import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from xds_server.telemetry import configure_logging

configure_logging(sys.argv[1])
log = structlog.get_logger()
log.info("registry.loaded", models=3)
logging.getLogger("a.library").warning("of a library")
try:
    secret = "sk-secret"
    {}["no such key"]
except KeyError:
    log.exception("registry.build.failed")
    logging.getLogger("a.library").exception("of a library")
"""


def logged(log_format: str) -> str:
    """Return what a process of its own logs: logging is set up once for a process."""
    program = [sys.executable, "-c", PROGRAM, log_format]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == ""
    return ran.stderr


def test_json_logs_are_one_object_a_line_whoever_logs():
    lines = [json.loads(line) for line in logged("json").splitlines()]

    assert [line["event"] for line in lines] == [
        "registry.loaded",
        "of a library",
        "registry.build.failed",
        "of a library",
    ]
    assert lines[0]["models"] == 3
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_is_logged_without_the_values_of_variables(log_format):
    text = logged(log_format)

    assert text.count("KeyError: 'no such key'") == 2
    assert text.count("Traceback (most recent call last)") == 2
    assert "locals" not in text
