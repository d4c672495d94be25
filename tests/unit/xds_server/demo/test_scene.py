"""The file that the demo shows is one that users could write."""

from __future__ import annotations

import pytest

from snapshots.ir.translate import translate
from snapshots.registry.loader import RegistryError, load_registry
from xds_server.address import Address
from xds_server.demo import scene

SERVERS = {name: f"127.0.0.1:{port}" for port, name in enumerate(scene.SERVERS, start=1)}


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    scene.write_registry(path, Address("127.0.0.1", 10000), SERVERS)
    return path


def load(path):
    return load_registry(path.read_bytes(), "registry.yaml")


def test_every_name_that_is_asked_for_is_routed(registry):
    [gateway] = translate(load(registry)).gateways

    assert {route.name for route in gateway.routes} == {name for name, _ in scene.ASKED}
    assert [path_route.prefix for path_route in gateway.path_routes] == [scene.PATH]
    assert scene.UNKNOWN not in {route.name for route in gateway.routes}


def test_every_server_is_in_its_pool(registry):
    pools = load(registry).pools

    for name, address in SERVERS.items():
        assert address in [str(e.address) for e in pools[scene.POOL_OF[name]].endpoints]


def test_the_edit_is_accepted_and_moves_everything(registry):
    scene.edit(registry, scene.SPLIT_BEFORE, scene.SPLIT_AFTER)

    assert load(registry).models["auto"].split == {"llama-1b": 0, "llama-3b": 100}


def test_the_mistake_is_refused_with_a_hint(registry):
    scene.edit(registry, scene.SPLIT_BEFORE, scene.SPLIT_WRONG)

    with pytest.raises(RegistryError, match="did you mean `llama-3b`"):
        load(registry)


def test_an_edit_of_what_is_not_there_is_an_error(registry):
    with pytest.raises(ValueError, match="does not hold"):
        scene.edit(registry, scene.SPLIT_AFTER, scene.SPLIT_BEFORE)
