"""The models of the file: short forms, defaults, and dumps that load again."""

from __future__ import annotations

import json
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from snapshots.registry.addresses import Address
from snapshots.registry.loader import load_registry
from snapshots.registry.schema import Endpoint, Extraction, Gateway, HealthCheck, Pool, ServedModel
from snapshots.registry.shape import ANY, parts

EXAMPLE = Path(__file__).parents[4] / "envoy" / "registry.example.yaml"


def test_an_endpoint_is_an_address_or_a_mapping():
    pool = Pool.model_validate({"endpoints": ["a:1", {"address": "a:2", "weight": 3, "zone": "z"}]})

    assert pool.endpoints == (
        Endpoint(address=Address("a", 1)),
        Endpoint(address=Address("a", 2), weight=3, zone="z"),
    )


def test_defaults_are_those_of_the_documents():
    pool = Pool(endpoints=())
    model = ServedModel(pool="a")

    assert Gateway().listen == Address("0.0.0.0", 10000)
    assert (Gateway().node_cluster, Gateway().models, Gateway().response_headers) == (
        "*",
        "*",
        True,
    )
    assert (pool.model, pool.adapters, pool.load_balancing.policy) == (None, (), "least_request")
    assert pool.health_check == HealthCheck(
        path="/health", interval=timedelta(seconds=15), timeout=timedelta(seconds=15)
    )
    assert (model.split, model.aliases, model.paths) == (None, (), ())
    assert (model.timeout, model.idle_timeout) == (timedelta(seconds=300), timedelta(seconds=300))
    assert Extraction() == Extraction(mode="ext_proc", on_failure="native", max_body=16 * 2**20)


def test_no_part_changes_once_it_is_made():
    with pytest.raises(ValidationError, match="frozen"):
        Gateway().node_cluster = "edge"


@pytest.mark.parametrize("wrong", [0, True, None, [], "/health"])
def test_only_false_switches_the_health_check_off(wrong):
    assert Pool.model_validate({"endpoints": [], "health_check": False}).health_check is False
    with pytest.raises(ValidationError):
        Pool.model_validate({"endpoints": [], "health_check": wrong})


@pytest.mark.parametrize(
    ("part", "field", "wrong"),
    [
        (Gateway, "response_headers", "yes"),
        (Gateway, "response_headers", 1),
        (Gateway, "models", "llama"),
        (Endpoint, "weight", 1.0),
        (Endpoint, "weight", "1"),
        (ServedModel, "timeout", 300),
        (ServedModel, "split", {"a": True}),
        (HealthCheck, "interval", "0s"),
        (Extraction, "max_body", 1.5),
    ],
)
def test_nothing_is_guessed_from_a_value_of_another_type(part, field, wrong):
    with pytest.raises(ValidationError):
        part.model_validate(
            {"address": "a:1", field: wrong} if part is Endpoint else {field: wrong}
        )


def test_a_dumped_registry_loads_as_the_same_registry():
    registry = load_registry(EXAMPLE.read_bytes(), str(EXAMPLE))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dumped = registry.model_dump(mode="json", exclude_none=True)

    assert load_registry(json.dumps(dumped).encode(), "dumped") == registry
    assert load_registry(yaml.dump(dumped, allow_unicode=True).encode(), "dumped") == registry


def test_every_part_of_the_file_is_found():
    assert {path: part.__name__ for path, part in parts()} == {
        (): "Registry",
        ("gateways", ANY): "Gateway",
        ("gateways", ANY, "tls"): "ListenerTls",
        ("gateways", ANY, "limits"): "Limits",
        ("pools", ANY): "Pool",
        ("pools", ANY, "endpoints", ANY): "Endpoint",
        ("pools", ANY, "health_check"): "HealthCheck",
        ("pools", ANY, "load_balancing"): "LoadBalancing",
        ("pools", ANY, "load_balancing", "key"): "HashKey",
        ("pools", ANY, "outlier_detection"): "OutlierDetection",
        ("pools", ANY, "headers"): "Headers",
        ("pools", ANY, "headers", "request"): "HeaderChanges",
        ("pools", ANY, "headers", "response"): "HeaderChanges",
        ("pools", ANY, "tls"): "UpstreamTls",
        ("models", ANY): "ServedModel",
        ("models", ANY, "sticky"): "Sticky",
        ("models", ANY, "retries"): "Retries",
        ("models", ANY, "mirror"): "Mirror",
        ("models", ANY, "rate_limit"): "RateLimit",
        ("models", ANY, "headers"): "Headers",
        ("models", ANY, "headers", "request"): "HeaderChanges",
        ("models", ANY, "headers", "response"): "HeaderChanges",
        ("extraction",): "Extraction",
        ("auth",): "Auth",
        ("auth", "clients", ANY): "Client",
        ("auth", "clients", ANY, "rate_limit"): "RateLimit",
        ("auth", "upstream", ANY): "UpstreamAuth",
    }


def test_every_field_is_described():
    missing = [
        f"{part.__name__}.{name}"
        for _path, part in parts()
        for name, field in part.model_fields.items()
        if not field.description
    ]

    assert not missing
