from snapshots.registry.loader import load_registry
from tests.benchmarks.registries import crowd, registry


def test_a_registry_of_any_size_loads():
    loaded = load_registry(registry(crowd(300)).encode(), "registry.yaml")

    assert len(loaded.models) == len(loaded.pools) == 300


def test_another_first_weight_is_the_only_difference():
    one = registry(crowd(3)).splitlines()
    other = registry(crowd(3, first_weight=7)).splitlines()

    assert [a for a, b in zip(one, other, strict=True) if a != b] == [
        "  model-00000: {split: {pool-00000: 50, pool-00001: 50}}"
    ]
