"""One daemon and one image for all tests of this folder, and one running stack for each file.

Nothing here skips: whoever names this folder wants to know whether compose works.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import docker
import pytest

from tests.compose.daemon import docker_url
from tests.compose.images import ROOT, modelyard_image
from tests.compose.stack import Stack

PROJECT = "modelyard-test"


@pytest.fixture(scope="session")
def daemon():
    with docker_url() as url:
        yield url


@pytest.fixture(scope="session")
def client(daemon):
    client = docker.DockerClient(base_url=daemon, timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(client):
    return modelyard_image(client)


@pytest.fixture(scope="module")
def registry():
    with tempfile.TemporaryDirectory(prefix="modelyard-compose-") as directory:
        # The user in the container is another one; pytest's own directories are closed to it.
        Path(directory).chmod(0o755)
        yield Path(shutil.copy(ROOT / "envoy/compose/registry.yaml", directory))


@pytest.fixture(scope="module")
def settings(image):
    """Return what compose.yaml takes from the environment, beyond the defaults."""
    return {}


@pytest.fixture(scope="module")
def stack(client, daemon, image, registry, settings):
    stack = Stack(client, daemon, PROJECT, registry, settings)
    stack.down()  # what a killed run may have left
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
