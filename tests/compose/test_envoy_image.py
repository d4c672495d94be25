"""compose.yaml with ENVOY_IMAGE: Envoys from an image that has no Modelyard in it."""

from __future__ import annotations

import pytest

from tests.compose.images import envoy_image
from tests.compose.stack import ENVOYS

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def settings(client, image):
    return {"ENVOY_IMAGE": envoy_image(client, "modelyard-envoy:local")}


def test_envoys_of_another_image_serve_too(stack):
    stack.wait_for_revision_after("")

    for envoy in ENVOYS:
        assert stack.chat(envoy, "llama-3-2-3b") == "llama-3b"
