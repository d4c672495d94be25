"""What a client says it holds when it connects, compared with what it would be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from snapshots.snapshot import Resource, TypeSnapshot
from snapshots.type_urls import FULL_STATE_TYPES
from xds_server.protocol.events import DeltaRequest, SotwRequest


def claims_another(
    request: SotwRequest | DeltaRequest,
    than: TypeSnapshot,
    *,
    instead: TypeSnapshot,
    withheld: AbstractSet[str] = frozenset(),
) -> bool:
    """Return whether *request*, the first for its type, tells of something else *than* that.

    It may as well tell of what is served *instead*, as a part of that is refused, and of anything
    under the names that are *withheld*. Of a client that holds less, or nothing, this is not so. In
    state of the world it may be so of one that holds just this: the version that it tells is that
    of the last response.
    """
    if isinstance(request, SotwRequest):
        return request.version_info not in ("", than.version, instead.version)
    for name, version in request.initial_resource_versions.items():
        known = (of_type.resources.get(name) for of_type in (than, instead))
        if name not in withheld and version not in [r.version for r in known if r is not None]:
            return True
    return False


def claims_anything(request: SotwRequest | DeltaRequest) -> bool:
    """Return whether *request*, the first of a stream, is from who was told something before."""
    if isinstance(request, SotwRequest):
        return bool(request.version_info)
    return bool(request.initial_resource_versions)


def claimed(
    request: SotwRequest | DeltaRequest, of_type: TypeSnapshot, names: Iterable[str] | None = None
) -> Iterator[Resource]:
    """Yield what of *of_type* the client says that it has taken; only of *names*, if given.

    In state of the world a version tells that only where it stands for all that there is.
    """
    if isinstance(request, SotwRequest):
        if request.type_url in FULL_STATE_TYPES and request.version_info == of_type.version:
            yield from _named(of_type, names)
        return
    told = request.initial_resource_versions
    for resource in _named(of_type, told if names is None else names):
        if told.get(resource.name) == resource.version:
            yield resource


def _named(of_type: TypeSnapshot, names: Iterable[str] | None) -> Iterator[Resource]:
    resources = of_type.resources
    if names is None:
        yield from resources.values()
        return
    for name in names:
        if name in resources:
            yield resources[name]
