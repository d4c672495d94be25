"""`GET /v1/models` in OpenAI's shape."""

from __future__ import annotations

import json

from openai.types import Model

from snapshots.ir.translate import translate
from snapshots.resources.model_list import build_model_list
from tests.support.registries import registry


def entries(text: str) -> list[dict]:
    [gateway] = translate(registry(text)).gateways
    listed = json.loads(build_model_list(gateway.routes))
    assert listed["object"] == "list"
    return listed["data"]


REGISTRY = """
pools: {p: {endpoints: [10.0.0.1:1], model: org/m, adapters: [lora]}}
models: {m: {pool: p, aliases: ['модель "ü"']}}
"""


def test_every_routable_name_is_listed_in_order():
    assert [entry["id"] for entry in entries(REGISTRY)] == ["lora", "m", 'модель "ü"']


def test_an_entry_is_what_openais_client_calls_a_model():
    for entry in entries(REGISTRY):
        assert Model.model_validate(entry).object == "model"


def test_an_alias_and_an_adapter_name_what_is_behind_them():
    assert [entry.get("parent") for entry in entries(REGISTRY)] == ["org/m", None, "m"]


def test_without_models_the_list_is_empty():
    assert entries("") == []
