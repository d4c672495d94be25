"""What bounds the time and the memory that one client can take."""

import pytest
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from snapshots.ir import model as ir
from snapshots.resources.listeners import build_listener

MIB = 1024 * 1024


def manager(max_body_bytes: int) -> hcm_v3.HttpConnectionManager:
    extraction = ir.Extraction("native", "native", max_body_bytes)
    gateway = ir.Gateway("g", "*", "127.0.0.1", 1, True, extraction, (), (), ())
    [chain] = build_listener(gateway).filter_chains
    return hcm_v3.HttpConnectionManager.parse(chain.filters[0].typed_config.value)


def test_a_client_has_time_to_send_16_mib_over_a_slow_line_and_no_more():
    needed_s = 16 * MIB * 8 / 500_000

    assert needed_s < manager(MIB).request_timeout.total_seconds() <= 600


@pytest.mark.parametrize(
    ("max_body_bytes", "window"), [(1000, 65_535), (100_000, 100_000), (16 * MIB, 256 * 1024)]
)
def test_a_window_of_http2_is_no_larger_than_a_body_may_be(max_body_bytes, window):
    options = manager(max_body_bytes).http2_protocol_options

    assert options.initial_stream_window_size == window
    assert options.initial_connection_window_size >= window
