"""Equal messages give equal bytes, whatever order their maps were filled in."""

from __future__ import annotations

from collections.abc import Callable

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct as FastStruct
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.resources.encode import encode, pack, struct
from snapshots.type_urls import CLUSTER

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abü%", max_size=3)
KEYS = st.text("abcü", min_size=1, max_size=2)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, PLAIN, max_size=4)


def reordered(value: object, order: Callable[[list], list]) -> object:
    """Return *value* with the entries of every mapping in it in another order."""
    if isinstance(value, dict):
        return {key: reordered(inner, order) for key, inner in order(list(value.items()))}
    return [reordered(item, order) for item in value] if isinstance(value, list) else value


def cluster(first: dict, second: dict) -> cluster_v3.Cluster:
    """Return a message that holds maps of maps: below a field, a list, and an `Any`."""
    metadata = core_v3.Metadata(
        filter_metadata={key: struct({key: value}) for key, value in first.items()},
        typed_filter_metadata={
            key: pack(core_v3.Metadata(filter_metadata={key: struct({key: value})}))
            for key, value in second.items()
        },
    )
    member = endpoint_v3.LbEndpoint(metadata=metadata)
    group = endpoint_v3.LocalityLbEndpoints(lb_endpoints=[member])
    assignment = endpoint_v3.ClusterLoadAssignment(cluster_name="c", endpoints=[group])
    return cluster_v3.Cluster(
        name="c",
        metadata=metadata,
        load_assignment=assignment,
        typed_extension_protocol_options={key: pack(struct({key: 1})) for key in second},
    )


@settings(max_examples=60, deadline=None)
@given(MAPPINGS, MAPPINGS, st.randoms(use_true_random=False))
def test_the_order_of_a_map_at_any_depth_changes_no_byte(first, second, random):
    def order(items: list) -> list:
        return random.sample(items, len(items))

    one = encode("c", cluster(first, second))
    other = encode("c", cluster(reordered(first, order), reordered(second, order)))

    assert (other.body, other.version) == (one.body, one.version)


@settings(max_examples=60, deadline=None)
@given(MAPPINGS)
def test_a_struct_says_what_the_plain_data_says(plain):
    read = FastStruct.FromString(bytes(pack(struct(plain)).value))

    assert MessageToDict(read) == plain


def test_a_resource_has_name_type_and_origin():
    resource = encode("c", cluster({}, {}), ("pools", "c"))

    assert (resource.type_url, resource.name, resource.origin) == (CLUSTER, "c", ("pools", "c"))


def test_another_content_or_another_name_is_another_version():
    versions = {
        encode("a", cluster_v3.Cluster(name="a")).version,
        encode("b", cluster_v3.Cluster(name="a")).version,
        encode("a", cluster_v3.Cluster(name="b")).version,
    }

    assert len(versions) == 3


def test_where_it_comes_from_is_not_part_of_a_version():
    message = cluster_v3.Cluster(name="a")

    assert encode("a", message, ("pools", "a")) == encode("a", message, ("pools", "b"))


def test_a_field_at_its_default_takes_no_bytes():
    zero = core_v3.RuntimeUInt32(default_value=0, runtime_key="k")

    assert pack(zero).value == pack(core_v3.RuntimeUInt32(runtime_key="k")).value
    assert pack(core_v3.Metadata()).value == b""
