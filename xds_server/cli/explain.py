"""`modelyard explain`: tell where a request would go, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from snapshots.explain import Explanation, Request, Share, explain
from snapshots.ir.model import Gateway
from snapshots.ir.names import ROUTING_HEADER_PREFIX
from snapshots.ir.translate import translate
from snapshots.shown_key import KEY_HEADERS, shown_key
from xds_server.cli.control_plane import StatusAddress, is_meant, status_address_options
from xds_server.cli.explained import FileSource, KeySource, ServedSource
from xds_server.cli.gateways import gateway_for, gateway_option, node_cluster_option
from xds_server.cli.options import option


def _absolute(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not begin with /")
    return value


@click.command()
@click.argument("registry", metavar="[REGISTRY]", required=False, type=click.Path(path_type=Path))
@status_address_options(None)
@option("--model", default=None, help="What the body says in `model`; none: it says nothing.")
@option("--path", default="/v1/chat/completions", callback=_absolute, help="The request's path.")
@option("--method", default="POST", help="The request's method.")
@option("--client", default=None, help="The client whose key it shows; none: it shows no key.")
@option("--key", default=None, help="The key that it shows; better put into MODELYARD_KEY.")
@option("--header", multiple=True, metavar="NAME=VALUE", help="A request header; repeatable.")
@option("--user", default=None, help="What a sticky model tells users apart by, as `--header`.")
@node_cluster_option
@gateway_option
@option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def command(context: click.Context, /, as_json: bool, **asked: Any) -> None:  # noqa: ANN401 - click's
    """Tell where a request would go by the file REGISTRY, and why.

    With --status-url instead of REGISTRY: by what that control plane serves.

    A key is hashed here, and never leaves this machine. Exits with 1 if Envoy would refuse the
    request for its model, path, method or client.
    """
    source = _source(context, asked["registry"], asked["status"])
    gateway = gateway_for(translate(source.registry), asked["node_cluster"], asked["gateway"])
    headers = _headers(asked["header"])
    client, notes = _client(source, asked["client"], asked["key"], headers)
    request = Request(
        asked["model"], asked["path"], asked["method"].upper(), client, headers, asked["user"]
    )
    explanation = explain(gateway, request)
    notes = (*notes, *_notes(headers, gateway))
    if as_json:
        told = {**asdict(explanation), "notes": notes, "revision": source.revision}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        if source.revision:
            click.echo(f"revision  {source.revision}")
        for line in (*_lines(explanation), *(f"note      {note}" for note in notes)):
            click.echo(line)
    if explanation.status is not None and explanation.status >= 400:  # noqa: PLR2004 - HTTP
        raise click.exceptions.Exit(1)


def _source(
    context: click.Context, registry: Path | None, status: StatusAddress | None
) -> KeySource:
    if status and is_meant(context, status, registry is not None):
        return ServedSource(status)
    if registry is None:
        raise click.UsageError("give a file or --status-url")
    return FileSource(registry)


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    """Return the headers with names in lower case; several of one name as Envoy joins them."""
    headers: dict[str, str] = {}
    for header in given:
        name, separator, value = header.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{header!r} is not NAME=VALUE", param_hint="--header")
        name = name.lower()
        joint = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers


def _client(
    source: KeySource, named: str | None, key: str | None, headers: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the client of the request, and what there is to say about that."""
    shown = key or shown_key(headers)
    if named is not None or shown is None:
        return named, ()
    client = source.client_of(shown)
    if client is None:
        return None, ("no client has the key that it shows", *source.notes)
    return client, ()


def _notes(headers: Mapping[str, str], gateway: Gateway) -> Iterator[str]:
    sticky = {(r.sticky.kind, r.sticky.name) for r in gateway.routes if r.sticky}
    for name in headers:
        if name.startswith(ROUTING_HEADER_PREFIX):
            yield f"{name} is removed: no client picks a route by header"
        elif ("header", name) in sticky or (name == "cookie" and "cookie" in dict(sticky)):
            yield f"{name} keeps a user with one pool, where the model is sticky by it"
        elif name in KEY_HEADERS and gateway.clients:
            yield f"{name} is where the key stands"
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
        whose = ", always that of this user" if share.pool == explanation.user_pool else ""
        yield from _pool_lines("pool", f"{share.pool}: {share.percent:.4g} %{whose}", share)
    for share in explanation.fallback:
        yield from _pool_lines("then", share.pool, share)


def _pool_lines(title: str, pool: str, share: Share) -> Iterator[str]:
    rewritten = f", model rewritten to {share.rewrite_to!r}" if share.rewrite_to else ""
    chosen = f", server chosen by {share.chosen_by}" if share.chosen_by else ""
    yield f"{title:9} {pool}{rewritten}{chosen}"
    for endpoint in share.endpoints:
        yield f"            {endpoint}"
