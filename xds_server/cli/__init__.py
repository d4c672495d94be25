"""The command line `modelyard`: parses arguments and calls, nothing else.

A command's module is imported only when it is used, so that `modelyard --help` is quick.
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches

import click
from typing_extensions import override

COMMANDS = {
    "serve": "Run the control plane on a registry file.",
    "ext-proc": "Run the companion that reads the model name for one Envoy.",
    "history": "List the last good registries.",
    "rollback": "Write one of the last good registries back to its file.",
    "bootstrap": "Print an Envoy bootstrap.",
    "validate": "Check a registry file and print every error in it.",
    "render": "Print the Envoy resources that a registry file gives.",
    "plan": "Tell what an edit would change, before it is made.",
    "explain": "Tell where a request would go, and why.",
    "status": "Show what every Envoy runs.",
    "wait": "Wait until every Envoy runs what the file says.",
    "schema": "Print the JSON Schema of the registry file.",
    "simulate": "Run an OpenAI-compatible model server without a model.",
    "demo": "Run everything on this machine and show it.",
}


class LazyGroup(click.Group):
    """A group whose command `a-b` is `command` in the module `xds_server.cli.a_b`."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"xds_server.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
            ctx.fail(f"no command is named {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelyard", prog_name="modelyard")
def main() -> None:
    """Route LLM requests by model name through a fleet of Envoys, from one file."""
