"""Which files and variables a registry refers to, and where.

Does not read them: see `snapshots.material`.
"""

from __future__ import annotations

from collections.abc import Iterator

from snapshots.material import SYSTEM_AUTHORITIES, Form, Material, Mention, Source, placeholder
from snapshots.registry.client_keys import key_mention
from snapshots.registry.problems import Path
from snapshots.registry.schema import Auth, Registry, UpstreamAuth
from snapshots.registry.schema.tls import ListenerTls, UpstreamTls

_FORMS: dict[str, Form] = {
    "certificate": "certificate",
    "key": "key",
    "client_ca": "authorities",
    "ca": "authorities",
}


def mentions(registry: Registry) -> Iterator[Mention]:
    """Yield every entry of *registry* that refers to a file or variable."""
    yield from _of_auth(registry.auth)
    for name, gateway in registry.gateways.items():
        if gateway.tls:
            yield from _of_tls(("gateways", name, "tls"), gateway.tls)
    for name, pool in registry.pools.items():
        if tls := pool.transport_tls:
            yield from _of_tls(("pools", name, "tls"), tls)
            if not tls.ca:
                place = "tls" if pool.tls else "url"
                yield Mention(("pools", name, place), SYSTEM_AUTHORITIES, "authorities")


def placeholders(registry: Registry) -> Material:
    """Return what stands for the contents that Envoy gets: enough to show what a registry gives.

    Of the keys of clients it gets digests, which tell by themselves where a key is not known.
    """
    found = (mention for mention in mentions(registry) if mention.form != "client key")
    return {mention.source: placeholder(mention.source) for mention in found}


def _of_auth(auth: Auth) -> Iterator[Mention]:
    for name, client in (auth.clients or {}).items():
        if mention := key_mention(name, client):
            yield mention
    for name, shown in (auth.upstream or {}).items():
        yield _of_upstream(("auth", "upstream", name), shown)


def _of_upstream(path: Path, auth: UpstreamAuth) -> Mention:
    if auth.value_file is not None:
        return Mention((*path, "value_file"), Source("file", auth.value_file), "text")
    return Mention((*path, "value_env"), Source("variable", auth.value_env or ""), "text")


def _of_tls(path: Path, tls: ListenerTls | UpstreamTls) -> Iterator[Mention]:
    for field, form in _FORMS.items():
        if name := getattr(tls, field, None):
            yield Mention((*path, field), Source("file", name), form)
