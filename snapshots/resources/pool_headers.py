"""What is changed of requests and answers, for a pool's servers or for a model.

For a pool by upstream filters of its cluster: see `credentials` for why. For a model by its routes.

Source: "Header mutation", "Lua" and "Upstream HTTP filters" of Envoy's docs, and "HTTP route
components (proto)" of the API reference.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from snapshots.ir import names
from snapshots.ir.headers import NO_CHANGES, HeaderChanges, Headers, Mount
from snapshots.resources.encode import Plain, pack, struct
from snapshots.resources.parts import literal, set_header
from snapshots.resources.rewrite import LUA_TYPE
from snapshots.resources.scripts import mount_script
from snapshots.resources.typed_struct import TypedStruct


def build_header_filters(headers: Headers) -> list[hcm_v3.HttpFilter]:
    """Return the upstream filter that makes the changes of *headers*; none for no change."""
    if headers == NO_CHANGES:
        return []
    mutation = header_v3.HeaderMutation(
        mutations=header_v3.Mutations(
            request_mutations=_mutations(headers.request),
            response_mutations=_mutations(headers.response),
        )
    )
    return [hcm_v3.HttpFilter(name=names.POOL_HEADERS_FILTER, typed_config=pack(mutation))]


def build_mount_filters(mount: Mount, foreign: tuple[str, ...]) -> list[hcm_v3.HttpFilter]:
    """Return the upstream filter for *mount*, or that undoes what *foreign* pools did."""
    if not mount.named and not any(name.startswith(":") for name in foreign):
        return []
    path: dict[str, Plain] = {} if mount.path is None else {"path": mount.path}
    host: dict[str, Plain] = {"host": mount.host} if mount.host else {}
    lua: dict[str, Plain] = {
        "default_source_code": {"inline_string": mount_script()},
        "shared_vm_id": names.MOUNT_FILTER,
        "filter_context": {**path, **host},
    }
    config = pack(TypedStruct(type_url=LUA_TYPE, value=struct(lua)))
    return [hcm_v3.HttpFilter(name=names.MOUNT_FILTER, typed_config=config)]


def change_headers(headers: Headers, to_pools: Iterable[route_v3.Route]) -> None:
    """Let *to_pools*, the routes that a model became, make the changes of *headers*."""
    for to_pool in to_pools if headers != NO_CHANGES else ():
        request, response = headers.request, headers.response
        to_pool.request_headers_to_add.extend(set_header(k, literal(v)) for k, v in request.set)
        to_pool.request_headers_to_remove.extend(request.remove)
        to_pool.response_headers_to_add.extend(set_header(k, literal(v)) for k, v in response.set)
        to_pool.response_headers_to_remove.extend(response.remove)


def _mutations(changes: HeaderChanges) -> list[mutation_v3.HeaderMutation]:
    removed = [mutation_v3.HeaderMutation(remove=name) for name in changes.remove]
    return removed + [
        mutation_v3.HeaderMutation(append=set_header(name, literal(value)))
        for name, value in changes.set
    ]
