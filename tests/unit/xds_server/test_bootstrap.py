"""A bootstrap tells Envoy who it is, and where control plane and companion are."""

from __future__ import annotations

import pytest
import yaml
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap as EnvoyBootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource
from envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2 import LeastRequest
from envoy.extensions.resource_monitors.downstream_connections.v3 import (
    downstream_connections_pb2 as downstream,
)
from envoy.extensions.resource_monitors.fixed_heap.v3.fixed_heap_pb2 import FixedHeapConfig
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict

from snapshots.ir import names
from snapshots.resources.companion import MESSAGE_TIMEOUT_S
from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, render_bootstrap

ENVOY_1 = {
    "node_id": "envoy-1",
    "node_cluster": "edge",
    "xds": (Address("control-plane", 18000),),
    "ext_proc": (UnixPath("/run/modelyard/ext-proc.sock"),),
    "admin": Address("127.0.0.1", 9901),
    "variant": "delta",
}


def rendered(**changes: object) -> EnvoyBootstrap:
    """Return the bootstrap as the message that Envoy reads it into; unknown fields are errors."""
    text = render_bootstrap(Bootstrap(**{**ENVOY_1, **changes}))
    return ParseDict(yaml.safe_load(text), EnvoyBootstrap())


def cluster(bootstrap: EnvoyBootstrap, name: str) -> Cluster:
    [found] = (c for c in bootstrap.static_resources.clusters if c.name == name)
    return found


def addresses(found: Cluster) -> list[tuple[str, int] | str]:
    """Return where the servers of a cluster are."""
    assert found.load_assignment.cluster_name == found.name
    [group] = found.load_assignment.endpoints
    return [
        where.pipe.path
        if where.HasField("pipe")
        else (where.socket_address.address, where.socket_address.port_value)
        for where in (member.endpoint.address for member in group.lb_endpoints)
    ]


def seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()


def test_it_tells_envoy_who_it_is_and_where_to_be_asked():
    bootstrap = rendered()

    admin = bootstrap.admin.address.socket_address
    assert (bootstrap.node.id, bootstrap.node.cluster) == ("envoy-1", "edge")
    assert (admin.address, admin.port_value) == ("127.0.0.1", 9901)


@pytest.mark.parametrize(("variant", "api_type"), [("delta", "DELTA_GRPC"), ("sotw", "GRPC")])
def test_the_variant_is_how_changes_travel(variant, api_type):
    ads = rendered(variant=variant).dynamic_resources.ads_config

    assert ads.api_type == ApiConfigSource.ApiType.Value(api_type)
    assert ads.set_node_on_first_message_only


def test_everything_comes_over_the_one_stream_to_the_control_plane():
    dynamic = rendered().dynamic_resources

    assert dynamic.cds_config.HasField("ads")
    assert dynamic.lds_config.HasField("ads")
    [service] = dynamic.ads_config.grpc_services
    assert service.envoy_grpc.cluster_name == names.XDS_CLUSTER
    assert addresses(cluster(rendered(), names.XDS_CLUSTER)) == [("control-plane", 18000)]


def test_a_lost_control_plane_is_tried_again_within_a_second():
    [service] = rendered().dynamic_resources.ads_config.grpc_services

    assert service.envoy_grpc.retry_policy.retry_back_off.max_interval.ToTimedelta().seconds == 1


def test_the_companion_is_at_a_unix_socket():
    companion = cluster(rendered(), names.EXT_PROC_CLUSTER)

    assert addresses(companion) == ["/run/modelyard/ext-proc.sock"]
    assert companion.type == Cluster.STATIC


@pytest.mark.parametrize("where", [Address("127.0.0.1", 9000), Address("::1", 9000)])
def test_the_companion_may_be_at_a_tcp_address(where):
    companion = cluster(rendered(ext_proc=(where,)), names.EXT_PROC_CLUSTER)

    assert addresses(companion) == [(where.host, 9000)]
    assert companion.type == Cluster.STATIC


def test_the_name_of_the_companions_machine_is_resolved():
    where = Address("localhost", 9000)

    companion = cluster(rendered(ext_proc=(where,)), names.EXT_PROC_CLUSTER)

    assert addresses(companion) == [("localhost", 9000)]
    assert companion.type == Cluster.STRICT_DNS
    assert companion.dns_lookup_family == Cluster.V4_PREFERRED


def test_there_may_be_several_companions_of_which_envoy_takes_the_least_busy():
    where = (UnixPath("/run/a.sock"), UnixPath("/run/b.sock"), Address("10.0.0.1", 9000))

    companion = cluster(rendered(ext_proc=where), names.EXT_PROC_CLUSTER)

    assert addresses(companion) == ["/run/a.sock", "/run/b.sock", ("10.0.0.1", 9000)]
    [policy] = companion.load_balancing_policy.policies
    least_request = LeastRequest()
    assert policy.typed_extension_config.typed_config.Unpack(least_request)
    assert least_request.selection_method == LeastRequest.FULL_SCAN


def test_a_companion_that_does_not_answer_is_out_of_use_before_a_request_gives_it_up():
    companion = cluster(rendered(), names.EXT_PROC_CLUSTER)

    [check] = companion.health_checks
    tries = check.unhealthy_threshold.value
    assert tries > 1
    assert check.HasField("grpc_health_check")
    assert tries * (seconds(check.interval) + seconds(check.timeout)) < MESSAGE_TIMEOUT_S
    assert companion.common_lb_config.healthy_panic_threshold.value == 0


def test_a_companion_that_is_gone_is_out_of_use_at_once_if_another_is_left():
    companion = cluster(rendered(), names.EXT_PROC_CLUSTER)

    outliers = companion.outlier_detection
    assert outliers.split_external_local_origin_errors
    assert outliers.consecutive_local_origin_failure.value <= 2
    assert outliers.max_ejection_percent.value == 99
    assert not outliers.always_eject_one_host.value
    # Longer than it takes the health check to find the same, so that there is no gap.
    [check] = companion.health_checks
    found_s = check.unhealthy_threshold.value * seconds(check.interval)
    assert seconds(outliers.base_ejection_time) > found_s
    assert companion.common_lb_config.HasField("update_merge_window")
    assert seconds(companion.common_lb_config.update_merge_window) == 0


def test_a_companion_that_is_back_is_used_within_half_a_second():
    [check] = cluster(rendered(), names.EXT_PROC_CLUSTER).health_checks

    assert check.healthy_threshold.value == 1
    for interval in (check.interval, check.unhealthy_interval, check.no_traffic_interval):
        assert seconds(interval) <= 0.5


def test_ipv6_addresses_have_no_brackets_there():
    bootstrap = rendered(xds=(Address("::1", 18000),), admin=Address("::1", 9901))

    assert addresses(cluster(bootstrap, names.XDS_CLUSTER)) == [("::1", 18000)]
    assert bootstrap.admin.address.socket_address.address == "::1"


def test_every_control_plane_is_an_endpoint_and_one_that_fails_is_left_soon():
    found = cluster(rendered(xds=(Address("a", 1), Address("b", 2))), names.XDS_CLUSTER)
    [options] = found.typed_extension_protocol_options.values()
    http2 = HttpProtocolOptions()
    options.Unpack(http2)
    keepalive = http2.explicit_http_config.http2_protocol_options.connection_keepalive

    assert addresses(found) == [("a", 1), ("b", 2)]
    assert found.connect_timeout.seconds == 1
    assert keepalive.interval.seconds + keepalive.timeout.seconds == 8
    assert found.outlier_detection.consecutive_local_origin_failure.value == 1
    assert found.outlier_detection.max_ejection_percent.value == 99


def test_both_are_spoken_to_in_http2():
    for found in rendered().static_resources.clusters:
        options = HttpProtocolOptions()
        [packed] = found.typed_extension_protocol_options.values()
        assert packed.Unpack(options)
        assert options.explicit_http_config.HasField("http2_protocol_options")


def test_memory_and_connections_of_clients_are_bounded():
    heap, connections = rendered(
        max_heap_bytes=2**28, max_connections=7
    ).overload_manager.resource_monitors
    heap_bound, connections_bound = FixedHeapConfig(), downstream.DownstreamConnectionsConfig()
    heap.typed_config.Unpack(heap_bound)
    connections.typed_config.Unpack(connections_bound)

    assert heap_bound.max_heap_size_bytes == 2**28
    assert connections_bound.max_active_downstream_connections == 7


def test_what_memory_runs_out_does_is_done_mildest_first():
    actions = rendered().overload_manager.actions
    begins = [
        trigger.threshold.value or trigger.scaled.scaling_threshold
        for action in actions
        for trigger in action.triggers
    ]

    assert begins == sorted(begins)
    assert actions[-1].name == "envoy.overload_actions.reject_incoming_connections"


def test_the_operator_gets_in_however_many_clients_there_are():
    assert rendered().admin.ignore_global_conn_limit


def test_the_admin_interface_may_be_at_a_unix_socket():
    admin = rendered(admin=UnixPath("/run/envoy/admin.sock")).admin

    assert admin.address.pipe.path == "/run/envoy/admin.sock"


@pytest.mark.parametrize(
    "text",
    ["n", "y", "on", "1", "1e3", "0x10", "null", "~", "no: x", "- a", "# a", "'", '"', "\\", "%",
     "{a}", "*a", "&a", "!a", "é", "模型", "🦙", "a b", " a "],
)  # fmt: skip
def test_a_text_stays_a_text_for_yaml_readers_of_any_version(text):
    written = render_bootstrap(Bootstrap(**{**ENVOY_1, "node_id": text, "node_cluster": text}))

    node = yaml.safe_load(written)["node"]
    assert node == {"id": text, "cluster": text}
    # PyYAML itself takes `n` and `1e3` for text. Envoy does not; quotes are what it goes by.
    quoted = [line.partition(": ")[2] for line in written.splitlines()[1:3]]
    assert all(value[0] == value[-1] == '"' for value in quoted)


@pytest.mark.parametrize("host", ["n", "on", "1e3"])
def test_so_does_the_name_of_a_host_and_the_path_of_a_socket(host):
    where = {"xds": (Address(host, 1),), "ext_proc": (UnixPath(host),)}

    written = render_bootstrap(Bootstrap(**{**ENVOY_1, **where}))

    assert f'address: "{host}"' in written
    assert f'path: "{host}"' in written


def test_it_holds_no_anchors_which_only_puzzle_readers():
    assert "&" not in render_bootstrap(Bootstrap(**ENVOY_1))
