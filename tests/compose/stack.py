"""`compose.yaml` brought up for a test, on free ports and a copy of its registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.compose.images import ROOT

ENVOYS = ("envoy-1", "envoy-2")
UP_LIMIT_S = 240
DOWN_LIMIT_S = 120
STATUS_LIMIT_S = 30
POLL_S = 0.1
FREE_PORTS = {"ENVOY_1_PORT": "", "ENVOY_2_PORT": "", "STATUS_PORT": ""}


class ComposeError(Exception):
    """Compose could not do what it was asked; holds what it and the services said."""


def compose_command() -> tuple[str, ...]:
    """Return how compose is called here: the plugin of the Docker client, or the older program."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise ComposeError("neither `docker compose` nor `docker-compose` is installed")


@dataclass
class Stack:
    """One project of compose on one daemon."""

    client: docker.DockerClient
    daemon_url: str
    project: str
    registry: Path
    """The file that the control plane sees through the mount of its directory."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further variables of compose.yaml."""
    command: tuple[str, ...] = field(default_factory=compose_command)

    def up(self) -> None:
        """Start every service and wait until each is healthy, in the order of `depends_on`."""
        self._compose(UP_LIMIT_S, "up", "--detach", "--no-build")
        self.wait_until_healthy()

    def down(self) -> None:
        """Stop everything and remove what belongs to the project, volumes included."""
        self._compose(DOWN_LIMIT_S, "down", "--volumes", "--timeout", "10")

    def wait_until_healthy(self) -> None:
        """Wait until every service that has a health check passes it."""
        deadline = time.monotonic() + UP_LIMIT_S
        while waiting := self._unhealthy():
            if time.monotonic() > deadline:
                raise ComposeError(f"not healthy: {waiting}\n{self.logs()}")
            time.sleep(POLL_S)

    def _unhealthy(self) -> dict[str, str]:
        containers = self.client.containers.list(all=True, filters=self.filters())
        health = {
            c.labels["com.docker.compose.service"]: c.attrs["State"].get("Health", {}).get("Status")
            for c in containers
        }
        return {name: said for name, said in health.items() if said not in {"healthy", None}}

    def left_behind(self) -> list[str]:
        """Return every container, network and volume that the project still has."""
        found = [
            *self.client.containers.list(all=True, filters=self.filters()),
            *self.client.networks.list(filters=self.filters()),
            *self.client.volumes.list(filters=self.filters()),
        ]
        return [f"{type(one).__name__} {one.name}" for one in found]

    def filters(self) -> dict[str, str]:
        """Return the filter that selects what belongs to this project."""
        return {"label": f"com.docker.compose.project={self.project}"}

    def address(self, service: str, port: int) -> str:
        """Return `127.0.0.1:PORT`, where *port* of *service* is published."""
        filters = {
            "label": [*self.filters().values(), f"com.docker.compose.service={service}"],
            "status": "running",
        }
        (container,) = self.client.containers.list(filters=filters)
        (published,) = container.ports[f"{port}/tcp"]
        return f"{published['HostIp']}:{published['HostPort']}"

    def status(self) -> dict[str, Any]:
        """Return what `GET /status` says."""
        _, _, body = fetch(f"http://{self.address('control-plane', 18001)}/status")
        return json.loads(body)

    def wait_for_revision_after(self, revision: str) -> dict[str, Any]:
        """Return the status once both Envoys run a revision that is not *revision*."""
        everyone = dict.fromkeys(ENVOYS, True)

        def arrived(status: dict[str, Any]) -> bool:
            nodes = {node["id"]: node["converged"] for node in status["nodes"]}
            return status["revision"] != revision and nodes == everyone

        return self._wait_for_status(arrived)

    def wait_for_refusal(self) -> dict[str, Any]:
        """Return the status once it says that the registry file is refused."""
        return self._wait_for_status(lambda status: status["registry"]["error"] is not None)

    def _wait_for_status(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + STATUS_LIMIT_S
        while not wanted(status := self.status()):
            if time.monotonic() > deadline:
                raise ComposeError(f"the status stays at {status}\n{self.logs()}")
            time.sleep(POLL_S)
        return status

    def chat(self, envoy: str, model: str, path: str = "/v1/chat/completions") -> str:
        """Return the name of the server that answered a chat for *model* through *envoy*."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        status, headers, said = fetch(f"http://{self.address(envoy, 10000)}{path}", body)
        if status != 200:
            raise ComposeError(f"{envoy} answered {status} for {model}: {said!r}\n{self.logs()}")
        return headers["x-simulate-server"]

    def servers(self, envoy: str, model: str, count: int = 1) -> Counter[str]:
        """Return how often each server answered *count* chats for *model* through *envoy*."""
        return Counter(self.chat(envoy, model) for _ in range(count))

    def logs(self) -> str:
        """Return the end of what each service wrote."""
        said = self._run(60, "logs", "--no-color", "--tail", "20")
        return said.stdout + said.stderr

    def _compose(self, limit_s: float, *arguments: str) -> None:
        said = self._run(limit_s, *arguments)
        if said.returncode != 0:
            text = f"{' '.join(arguments)}: exit {said.returncode}\n{said.stdout}{said.stderr}"
            raise ComposeError(f"{text}\n{self.logs()}")

    def _run(self, limit_s: float, *arguments: str) -> subprocess.CompletedProcess[str]:
        registry = {"REGISTRY_DIR": str(self.registry.parent)}
        environment = os.environ | FREE_PORTS | registry | dict(self.settings)
        environment["DOCKER_HOST"] = self.daemon_url
        return subprocess.run(
            [*self.command, "--project-name", self.project, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )


def fetch(url: str, body: object = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to a GET, or to a POST of *body* as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    # Not through a proxy of the host: everything asked here is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()
