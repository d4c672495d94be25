"""How a program that should be an Envoy is asked, and what becomes of one that is none."""

from __future__ import annotations

import os

import pytest

from xds_server.envoy_binary import EnvoyError
from xds_server.preflight.envoy import EnvoyValidator, PreflightTimeoutError


@pytest.fixture
def program(tmp_path):
    def write(script: str) -> EnvoyValidator:
        path = tmp_path / "envoy"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return EnvoyValidator(str(path))

    return write


async def test_a_program_that_is_no_envoy_is_told(program):
    with pytest.raises(EnvoyError, match=r"envoy is no Envoy: hello"):
        await program("echo hello").version()


async def test_one_that_is_not_there_is_told():
    with pytest.raises(EnvoyError, match=r"^/nowhere/envoy cannot be run: No such file"):
        await EnvoyValidator("/nowhere/envoy").version()


async def test_what_ends_well_takes_the_configuration(program):
    assert await program("exit 0").refusal(b"", 10) == ""


async def test_what_dies_without_a_word_refuses_it(program):
    assert "no words" in await program("exit 3").refusal(b"", 10)


async def test_what_does_not_end_is_killed(program, tmp_path):
    script = f"echo $$ > {tmp_path}/pid; exec sleep 600"

    with pytest.raises(PreflightTimeoutError):
        await program(script).refusal(b"", 1)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_the_configuration_is_for_this_user_alone_and_does_not_stay(program, tmp_path):
    validator = program(f'echo "$4" > {tmp_path}/path; stat -c %a "${{4%/*}}" > {tmp_path}/mode')

    await validator.refusal(b"content", 10)

    assert (tmp_path / "mode").read_text() == "700\n"
    assert not os.access((tmp_path / "path").read_text().strip(), os.F_OK)
