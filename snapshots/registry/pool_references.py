"""Whether what changes headers and paths, and where pools are, fits together.

Reads the plain data, as `references.py` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.registry.problems import Path, Refusal, ValueRefusedError, code
from snapshots.registry.urls import ProviderUrl

Entries = Mapping[str, object]


def check_headers(data: Entries) -> Iterator[Refusal]:
    """Yield every header in *data* that two entries change in different ways."""
    shown = _mapping(_mapping(data.get("auth")).get("upstream"))
    for section in ("pools", "models"):
        for name, entry in _mapping(data.get(section)).items():
            headers = _mapping(_mapping(entry).get("headers"))
            for way in ("request", "response"):
                place: Path = (section, name, "headers", way)
                yield from _check_changes(place, _mapping(headers.get(way)))
    for name in shown:
        changes = _mapping(_mapping(_pool(data, name).get("headers")).get("request"))
        yield from _check_credential(name, _mapping(shown[name]), changes)


def check_url(name: str, pool: Entries) -> Iterator[Refusal]:
    """Yield what is wrong with where the servers of the pool *name* are."""
    place: Path = ("pools", name)
    if "url" in pool:
        count = "both" if pool.get("endpoints") else ""
    else:
        count = "" if "endpoints" in pool else "neither"
    if count:
        hint = "give exactly one of them, such as endpoints: [10.0.0.1:8000]"
        yield Refusal(place, f"has {count} of `endpoints` and `url`", hint)
    if not isinstance(written := pool.get("url"), str):
        return
    if "path_rewrite" in pool:
        hint = "write the path at the end of `url`"
        yield Refusal((*place, "path_rewrite"), "the path of `url` says it already", hint)
    try:
        url = ProviderUrl.parse(written)
    except ValueRefusedError:
        return
    yield from _check_url_tls(place, url, pool.get("tls"))


def _check_url_tls(place: Path, url: ProviderUrl, tls: object) -> Iterator[Refusal]:
    if url.is_tls and tls is False:
        yield Refusal((*place, "tls"), "`url` asks for TLS", "remove it, or write http://")
    if not url.is_tls and (tls is True or isinstance(tls, Mapping)):
        yield Refusal((*place, "tls"), "`url` says http", "write https://")
    if url.is_tls and url.address.is_ip and "server_name" not in _mapping(tls):
        yield Refusal(
            (*place, "url"),
            "an IP address cannot be verified by itself",
            "write a DNS name, or tls: {server_name: ...}",
        )


def _check_changes(place: Path, changes: Entries) -> Iterator[Refusal]:
    set_here: set[str] = set()
    for header in _mapping(changes.get("set")):
        if header.lower() in set_here:
            yield Refusal((*place, "set", header), "this header is already set", "remove one")
        set_here.add(header.lower())
    removed: set[str] = set()
    listed = changes.get("remove")
    for index, header in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(header, str):
            continue
        if header.lower() in set_here:
            subject = f"{code(header)} is set, too"
            yield Refusal((*place, "remove", index), subject, "what is set replaces what was there")
        if header.lower() in removed:
            yield Refusal((*place, "remove", index), f"{code(header)} is already in this list")
        removed.add(header.lower())


def _check_credential(pool: str, shown: Entries, changes: Entries) -> Iterator[Refusal]:
    """Yield the header of *pool* that is its credential's and changed besides."""
    header = shown.get("header", "authorization")
    listed = changes.get("remove")
    changed = [*_mapping(changes.get("set")), *(listed if isinstance(listed, list) else ())]
    if isinstance(header, str) and header.lower() in {str(name).lower() for name in changed}:
        yield Refusal(
            ("auth", "upstream", pool),
            f"{code(header)} is changed by `headers` of the pool, too",
            "remove it there",
        )


def _pool(data: Entries, name: str) -> Entries:
    return _mapping(_mapping(data.get("pools")).get(name))


def _mapping(value: object) -> Entries:
    return value if isinstance(value, Mapping) else {}
