"""What becomes of a request on its way to a pool's servers and back, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snapshots.ir import model as ir
from snapshots.ir.headers import HeaderChanges, Headers


def about_pools(pools: Iterable[ir.Pool]) -> Iterator[str]:
    """Yield what holds for requests to each of *pools*."""
    for pool in pools:
        yield from _about_connection(pool)
        yield from _about_request(pool)


def about_headers(owner: str, headers: Headers) -> Iterator[str]:
    """Yield what *headers* change; *owner* is whose they are."""
    for changes, what in ((headers.request, "requests"), (headers.response, "answers")):
        if changes.named:
            yield f"{owner} {_about_changes(changes)} in {what}"


def _about_connection(pool: ir.Pool) -> Iterator[str]:
    if pool.tls:
        name = pool.tls.server_name or "its own DNS name"
        yield f"pool {pool.name!r} is reached by TLS; a server must prove to be {name}"
    if pool.http2:
        yield f"pool {pool.name!r} is spoken to in HTTP/2"
    if pool.outlier_detection != ir.OutlierDetection():
        yield f"a server of pool {pool.name!r} {_about_outliers(pool.outlier_detection)}"


def _about_request(pool: ir.Pool) -> Iterator[str]:
    if pool.mount.host:
        yield f"pool {pool.name!r} is told the host {pool.mount.host}"
    if pool.mount.path is not None:
        yield f"for pool {pool.name!r}, {pool.mount.path} stands for a leading /v1 of the path"
    if pool.credential:
        [source] = pool.credential.secret.sources
        header = pool.credential.header
        yield f"pool {pool.name!r} is shown what {source} holds, as {header}"
    yield from about_headers(f"pool {pool.name!r}", pool.headers)
    foreign = [name for name in pool.header_rules.foreign if not name.startswith(":")]
    if foreign:
        yield f"pool {pool.name!r} gets no {', '.join(foreign)}: another pool sets it for itself"


def _about_outliers(detection: ir.OutlierDetection | None) -> str:
    if detection is None:
        return "gets requests whatever became of others"
    errors = f"{detection.consecutive_errors} requests in a row cannot reach it"
    answers = f" or {detection.consecutive_5xx} are answered with 5xx"
    causes = errors + (answers if detection.consecutive_5xx else "")
    return f"is left alone for {detection.eject_for_s:g} s once {causes}"


def _about_changes(changes: HeaderChanges) -> str:
    sets = f"sets {', '.join(name for name, _value in changes.set)}" if changes.set else ""
    removes = f"removes {', '.join(changes.remove)}" if changes.remove else ""
    return " and ".join(filter(None, (sets, removes)))
