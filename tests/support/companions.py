"""A deployment whose companions are processes that a test can kill, freeze and start again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.deployment import Deployment, deployment
from tests.support.ext_proc_process import RunningCompanion, companion_process, scraped
from tests.support.load import Load, chat_request, continuous_load, run_load
from tests.support.load_report import LoadReport
from tests.support.part import Part
from xds_server.address import Address
from xds_server.bootstrap import Companion, UnixPath
from xds_server.demo.stack import free_address

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target}
models:
  m: {pool: renamed, paths: [/v1/renamed]}
extraction: {on_failure: REACTION}
"""
WORKERS = 4
FAILURES_TAKEN = 1_000_000
ASKED_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.005


class CompanionProcess:
    """One companion at *address*, as long as it lives and after that."""

    def __init__(self, address: Companion, *arguments: object) -> None:
        self.address = address
        self._web = free_address()
        where = f"unix:{address.path}" if isinstance(address, UnixPath) else str(address)
        self._part: Part[RunningCompanion] = Part(
            lambda: companion_process(where, "--metrics-address", self._web, *arguments)
        )

    async def start(self) -> None:
        await self._part.start()

    async def stop(self) -> int:
        """Tell it to stop and return its exit code."""
        ended = await self._part.running.stop()
        await self._part.stop()
        return ended.code

    async def kill(self) -> None:
        """Have it end at once, frozen or not, if it runs."""
        await self._part.stop()

    def kill_a_worker(self) -> None:
        """Have one of its worker processes end at once."""
        os.kill(self._part.running.workers()[0], signal.SIGKILL)

    def freeze(self) -> None:
        self._part.running.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._part.running.process.send_signal(signal.SIGCONT)

    async def answers(self) -> float:
        """Return how many requests it has answered since it started."""
        values = await scraped(f"http://{self._web}")
        return sum(
            value
            for name, value in values.items()
            if name.startswith("modelyard_ext_proc_requests_total")
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment and its companions, all of which run at first."""

    deployed: Deployment
    companions: Sequence[CompanionProcess]

    @asynccontextmanager
    async def load(self, text: str = "hello") -> AsyncIterator[Load]:
        """Send requests with *text* all the time."""
        requests = [chat_request("m", text=text)]
        gateway = str(self.deployed.gateway)
        async with continuous_load(
            gateway, requests, workers=WORKERS, max_failures=FAILURES_TAKEN
        ) as load:
            await load.answered(100)
            yield load

    async def sent(self, count: int = 200) -> LoadReport:
        """Send *count* requests and return what became of them."""
        return await run_load(
            str(self.deployed.gateway), [chat_request("m")], count=count, workers=WORKERS
        )

    async def answered_without_companion(self) -> int:
        """Return how many requests have gone on without an answer of a companion."""
        [count] = (await self.deployed.stats(r"ext_proc\.failure_mode_allowed$")).values()
        return count

    async def asked(self) -> CompanionProcess:
        """Wait until one of the companions, all on sockets, is being asked, and return it."""
        async with asyncio.timeout(ASKED_TIMEOUT_S):
            while True:
                clusters = await self.deployed.admin("/clusters?format=json")
                for companion in self.companions:
                    if companion.address.path in _busy(clusters):
                        return companion
                await asyncio.sleep(LOOK_AGAIN_S)

    async def pushes(self) -> float:
        """Return how many responses the control plane has sent to Envoy."""
        _, ready = self.deployed.control_plane.running
        values = await scraped(f"http://{ready.status_address}")
        name = "modelyard_xds_responses_total"
        return sum(value for key, value in values.items() if key.startswith(name))


def _busy(clusters: dict[str, Any]) -> set[str]:
    """Return the sockets of the hosts that have a request, by what Envoy says of its clusters."""
    return {
        host["address"]["pipe"]["path"]
        for cluster in clusters["cluster_statuses"]
        for host in cluster.get("host_statuses", ())
        if "pipe" in host["address"]
        and any(
            stat["name"] == "rq_active" and stat.get("value", "0") != "0" for stat in host["stats"]
        )
    }


@asynccontextmanager
async def companions_at(
    *addresses: Companion, arguments: Sequence[object] = ()
) -> AsyncIterator[list[CompanionProcess]]:
    """Run a companion with *arguments* at each address; whatever runs at the end is killed."""
    async with AsyncExitStack() as stack:
        companions = []
        for address in addresses:
            companion = CompanionProcess(address, *arguments)
            stack.push_async_callback(companion.kill)
            await companion.start()
            companions.append(companion)
        yield companions


@asynccontextmanager
async def place_with(
    *addresses: Companion, on_failure: str, folder: Path, arguments: Sequence[object] = ()
) -> AsyncIterator[Place]:
    """Run a deployment with a companion that has *arguments* at each of *addresses*."""
    template = REGISTRY.replace("REACTION", on_failure)
    async with (
        companions_at(*addresses, arguments=arguments) as companions,
        deployment(template, ("renamed",), folder, companions=addresses) as deployed,
    ):
        await deployed.companions_used(len(companions))
        yield Place(deployed, companions)


def socket_in(folder: Path, name: str = "a") -> UnixPath:
    return UnixPath(str(folder / f"{name}.sock"))


def tcp() -> Address:
    return free_address()
