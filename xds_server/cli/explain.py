"""`modelyard explain`: tell where a request would go, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from snapshots.explain import Explanation, Request, Share, explain
from snapshots.ir.names import ROUTING_HEADER_PREFIX
from snapshots.ir.translate import translate
from xds_server.cli.gateways import gateway_for, gateway_option, node_cluster_option
from xds_server.cli.options import option
from xds_server.cli.registry_file import read_registry, registry_argument


def _absolute(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not begin with /")
    return value


@click.command()
@registry_argument
@option("--model", default=None, help="What the body says in `model`; none: it says nothing.")
@option("--path", default="/v1/chat/completions", callback=_absolute, help="The request's path.")
@option("--method", default="POST", help="The request's method.")
@option("--client", default=None, help="The client whose key it shows; none: it shows no key.")
@option("--header", multiple=True, metavar="NAME=VALUE", help="A request header; repeatable.")
@node_cluster_option
@gateway_option
@option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(
    registry: Path,
    model: str | None,
    path: str,
    method: str,
    client: str | None,
    header: tuple[str, ...],
    node_cluster: str,
    gateway: str | None,
    as_json: bool,
) -> None:
    """Tell where a request would go by the file REGISTRY, and why.

    Exits with 1 if Envoy would refuse it for its model, path, method or client.
    """
    meant = gateway_for(translate(read_registry(registry)), node_cluster, gateway)
    sticky = {r.sticky.name for r in meant.routes if r.sticky and r.sticky.kind == "header"}
    notes = tuple(_notes(header, sticky))
    explanation = explain(meant, Request(model, path, method.upper(), client))
    if as_json:
        click.echo(json.dumps({**asdict(explanation), "notes": notes}, ensure_ascii=False))
    else:
        for line in (*_lines(explanation), *(f"note      {note}" for note in notes)):
            click.echo(line)
    if explanation.status is not None and explanation.status >= 400:  # noqa: PLR2004 - HTTP
        raise click.exceptions.Exit(1)


def _notes(headers: tuple[str, ...], sticky: set[str]) -> Iterator[str]:
    for header in headers:
        name, separator, _ = header.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{header!r} is not NAME=VALUE", param_hint="--header")
        if name.lower().startswith(ROUTING_HEADER_PREFIX):
            yield f"{name} is removed: no client picks a route by header"
        elif name.lower() in sticky:
            yield f"{name} keeps a user with one pool, where the model is sticky by it"
        else:
            yield f"{name} has no part in routing"


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"gateway   {explanation.gateway}"
    yield f"scope     {explanation.scope or 'none'}"
    for index, step in enumerate(explanation.why):
        yield f"{'why' if index == 0 else '':9} {step}"
    if explanation.status is not None:
        yield f"answer    {explanation.status} by Envoy itself"
        return
    yield f"path      {explanation.upstream_path}"
    yield f"base      {explanation.base_model}"
    yield f"timeout   {explanation.timeout_s:g} s" if explanation.timeout_s else "timeout   none"
    for index, rule in enumerate(explanation.rules):
        yield f"{'rules' if index == 0 else '':9} {rule}"
    for share in explanation.shares:
        yield from _pool_lines("pool", f"{share.pool}: {share.percent:.4g} %", share)
    for share in explanation.fallback:
        yield from _pool_lines("then", share.pool, share)


def _pool_lines(title: str, pool: str, share: Share) -> Iterator[str]:
    rewritten = f", model rewritten to {share.rewrite_to!r}" if share.rewrite_to else ""
    chosen = f", server chosen by {share.chosen_by}" if share.chosen_by else ""
    yield f"{title:9} {pool}{rewritten}{chosen}"
    for endpoint in share.endpoints:
        yield f"            {endpoint}"
