"""What all commands have in common."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from xds_server.cli import COMMANDS, main


def options(name: str) -> list[click.Option]:
    command = main.get_command(click.Context(main), name)
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {name} ")
    assert all(option.opts[0] in result.stdout for option in options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_and_a_variable_of_its_own(name):
    for option in options(name):
        assert option.help, option.name
        variable = option.opts[0].removeprefix("--").replace("-", "_").upper()
        assert option.envvar == f"MODELYARD_{variable}"


def test_the_list_of_commands_says_what_each_does():
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert all(
        f"  {name}" in result.stdout and text in result.stdout for name, text in COMMANDS.items()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        *(["nope"], ["render"], ["render", "x", "--nope"], ["demo", "x"]),
        *(["history"], ["rollback", "x"], ["plan", "x"], ["explain"]),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_where_help_is(arguments):
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert not result.stdout
    assert "--help' for help" in result.stderr


def test_a_command_that_is_misspelt_is_named():
    result = CliRunner().invoke(main, ["statsu"])

    assert "no command is named 'statsu'; did you mean 'status'?" in result.stderr


def test_the_version_is_that_of_the_distribution():
    assert CliRunner().invoke(main, ["--version"]).stdout == "modelyard, version 0.1.0\n"
