"""One daemon, one image and one running stack for all tests of this folder.

Nothing here skips: whoever names this folder wants to know whether compose works.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import docker
import pytest

from tests.compose.daemon import docker_url
from tests.compose.images import ROOT, modelyard_image
from tests.compose.stack import Stack

IMAGE = "modelyard:local"  # as compose.yaml calls it


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
    return modelyard_image(client, IMAGE)


@pytest.fixture(scope="session")
def registry():
    with tempfile.TemporaryDirectory(prefix="modelyard-compose-") as directory:
        # The user in the container is another one; pytest's own directories are closed to it.
        Path(directory).chmod(0o755)
        yield Path(shutil.copy(ROOT / "envoy/compose/registry.yaml", directory))


@pytest.fixture(scope="session")
def stack(client, daemon, image, registry):
    stack = Stack(client, daemon, f"modelyard-test-{os.getpid()}", registry)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
