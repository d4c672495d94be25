"""The HTTP filters of a listener, in the order in which a request passes them.

| filter | why there |
|---|---|
| client_keys | first: who has no key is refused before anything of a body is read |
| client_limits | next: who asks too often is refused before that, too |
| decompressor | next: a body in gzip becomes plain before anything reads, counts or rewrites it |
| ext_proc | next: it names the model, on which everything behind it depends (see `companion`) |
| extract_model | next: names the model where the companion did not, or is not used |
| wildcards | behind the extraction: finds the wildcard of a name that has no route |
| hand_over, model_limit | once the model is known, where models have limits |
| first_pool, free_pool | behind all that names the model: the route is known now (see `fallback`) |
| buffer | only on path routes, where nothing before it has bounded the body |
| router | last, as Envoy demands |

Source: "Decompressor", "Lua" and "Buffer" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.compression.gzip.decompressor import v3 as gzip_v3
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer_v3
from envoy_data_plane.envoy.extensions.filters.http.decompressor import v3 as decompressor_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.chosen_pool import build_chosen_pool_filters
from snapshots.resources.client_parts import build_key_filter
from snapshots.resources.companion import build_companion_filters
from snapshots.resources.encode import pack
from snapshots.resources.parts import body_limit
from snapshots.resources.rate_limits import (
    build_client_limit_filter,
    build_hand_over_filter,
    build_model_limit_filter,
)
from snapshots.resources.scripts import extraction_script
from snapshots.resources.wildcards import build_wildcard_filter

MAX_INFLATE_RATIO = 1032
"""The most that gzip can do. Below it, Envoy would drop the rest of a body that it finds inflated
too much and let what there is pass; `max_body` bounds the body instead, by an answer."""
INFLATE_CHUNK_BYTES = 16 * 1024


def build_http_filters(gateway: ir.Gateway) -> list[hcm_v3.HttpFilter]:
    """Return the filters of *gateway*, in order; the first one where clients need keys."""
    extraction = gateway.extraction
    filters = [_filter(names.KEY_FILTER, pack(build_key_filter()))] if gateway.clients else []
    if gateway.limits_clients:
        filters.append(_filter(names.CLIENT_LIMIT_FILTER, pack(build_client_limit_filter())))
    filters.append(_filter(names.GUNZIP_FILTER, pack(_gunzip())))
    if extraction.mode == "ext_proc":
        filters.extend(build_companion_filters(gateway))
    if extraction.mode == "native" or extraction.on_failure == "native":
        filters.append(_filter(names.NATIVE_FILTER, pack(_native(gateway))))
    if gateway.has_wildcards:
        filters.append(_filter(names.WILDCARD_FILTER, pack(build_wildcard_filter())))
    if gateway.limits_models:
        filters.append(_filter(names.HAND_OVER_FILTER, pack(build_hand_over_filter())))
        filters.append(_filter(names.MODEL_LIMIT_FILTER, pack(build_model_limit_filter())))
    filters.extend(_filter(*part) for part in build_chosen_pool_filters(gateway))
    filters.append(_buffer_where_a_route_asks(extraction))
    filters.append(_filter(names.ROUTER_FILTER, pack(router_v3.Router())))
    return filters


def _filter(name: str, config: Any) -> hcm_v3.HttpFilter:
    return hcm_v3.HttpFilter(name=name, typed_config=config)


def _gunzip() -> decompressor_v3.Decompressor:
    """Return the filter that makes request bodies in gzip plain; answers it leaves alone."""
    library = core_v3.TypedExtensionConfig(
        name="gzip",
        typed_config=pack(
            gzip_v3.Gzip(max_inflate_ratio=MAX_INFLATE_RATIO, chunk_size=INFLATE_CHUNK_BYTES)
        ),
    )
    off = core_v3.RuntimeFeatureFlag(default_value=False, runtime_key="modelyard.gunzip_answers")
    return decompressor_v3.Decompressor(
        decompressor_library=library,
        request_direction_config=decompressor_v3.DecompressorRequestDirectionConfig(
            common_config=decompressor_v3.DecompressorCommonDirectionConfig(
                # Else a `cache-control: no-transform` of the client would hide the name.
                ignore_no_transform_header=True
            ),
            # The header would tell the servers that clients take answers in gzip.
            advertise_accept_encoding=False,
        ),
        response_direction_config=decompressor_v3.DecompressorResponseDirectionConfig(
            common_config=decompressor_v3.DecompressorCommonDirectionConfig(enabled=off)
        ),
    )


def _native(gateway: ir.Gateway) -> lua_v3.Lua:
    """Return the filter that reads the name itself; it does nothing where the model is named."""
    script = extraction_script(gateway.default_model)
    return lua_v3.Lua(default_source_code=core_v3.DataSource(inline_string=script))


def _buffer_where_a_route_asks(extraction: ir.Extraction) -> hcm_v3.HttpFilter:
    """Return the filter that refuses large bodies, off until a route switches it on."""
    buffer = _filter(names.BUFFER_FILTER, pack(build_buffer(extraction)))
    buffer.disabled = True
    return buffer


def build_buffer(extraction: ir.Extraction) -> buffer_v3.Buffer:
    """Return the filter that waits for a whole body, as far as it is not too large."""
    return buffer_v3.Buffer(max_request_bytes=body_limit(extraction))
