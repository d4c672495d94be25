"""A control plane with honest clients, while somebody else misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from envoy.service.discovery.v3 import discovery_pb2

from tests.support import serve_process
from tests.support.ads_crowd import CrowdMember, crowd
from tests.support.command import Ended
from tests.support.memory import highest_mib
from tests.support.serve_process import Serving

HONEST = 20
MODELS = 100
CONVERGED_WITHIN_S = 10.0
"""How long an edit may take to the honest clients: a tenth of a second as a rule."""
TIMEOUT_S = 30.0


def registry(weight: int, more: str = "") -> str:
    """Return the text of a registry, of which *weight* is what edits change."""
    pools = "".join(
        f"  p{n}: {{endpoints: ['127.0.0.1:{n + 1}'], health_check: false}}\n"
        for n in range(MODELS)
    )
    models = "".join(f"  m{n}: {{pool: p{n}}}\n" for n in range(1, MODELS))
    first = f"  m0: {{split: {{p0: {weight}, p1: 1}}}}\n"
    return f"version: 1\n{more}pools:\n{pools}models:\n{first}{models}"


def delta(type_url: str, node_id: str = "bad", **fields: Any) -> bytes:
    """Return a delta request as bytes."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, **fields)
    request.node.id = node_id
    return bytes(request.SerializeToString())


def sotw(type_url: str, node_id: str = "bad", **fields: Any) -> bytes:
    """Return a state-of-the-world request as bytes."""
    request = discovery_pb2.DiscoveryRequest(type_url=type_url, **fields)
    request.node.id = node_id
    return bytes(request.SerializeToString())


async def until(holds: Callable[[], bool]) -> None:
    """Wait, for as long as the caller gives, until *holds*."""
    while not holds():  # noqa: ASYNC110 - many clients are waited for
        await asyncio.sleep(0.01)


@dataclass(slots=True, eq=False)
class Siege:
    """A control plane as a process, and honest clients that have everything."""

    serving: Serving
    path: Path
    members: list[CrowdMember]
    more: str
    before_mib: float = 0.0
    weight: int = 1

    @property
    def address(self) -> str:
        """Where it serves xDS."""
        return self.serving.xds_address

    async def edit(self) -> float:
        """Edit the registry; return how many seconds it took until all honest clients had it."""
        self.weight += 1
        for member in self.members:
            member.tally.responses = 0
        began = time.perf_counter()
        self.path.write_text(registry(self.weight, self.more))
        async with asyncio.timeout(CONVERGED_WITHIN_S):
            await until(lambda: all(member.tally.responses for member in self.members))
        return time.perf_counter() - began

    def grown_mib(self) -> float:
        """Return by how much the process ever grew since the honest clients had everything."""
        return highest_mib(self.serving.process.pid) - self.before_mib

    async def get(self, path: str) -> str:
        """Return what the status address answers."""
        url = self.serving.status_url + path
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            return await answer.text()

    async def metric(self, sample: str) -> float:
        """Return the value of a metric with its labels, such as `a_total{limit="names"}`."""
        lines = (await self.get("/metrics")).splitlines()
        [value] = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == sample]
        return float(value)

    async def streams_are(self, count: int) -> None:
        """Wait until so many streams are open."""
        async with asyncio.timeout(TIMEOUT_S):
            while await self.metric("modelyard_xds_streams") != count:  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.05)

    async def is_well(self) -> None:
        """Assert that the control plane lives, and that an edit reaches all who are honest."""
        await self.edit()
        async with asyncio.timeout(TIMEOUT_S):
            while await self._honest_behind():  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.05)
        assert self.serving.process.returncode is None
        assert not any(member.lost for member in self.members)

    async def _honest_behind(self) -> list[str]:
        nodes = json.loads(await self.get("/status"))["nodes"]
        honest = [node for node in nodes if node["id"].startswith("crowd-")]
        assert len(honest) == HONEST
        return [node["id"] for node in honest if not node["converged"]]

    async def stop(self) -> list[dict[str, Any]]:
        """Stop the control plane; return what it logged of limits. It must have failed nowhere."""
        ended: Ended = await self.serving.stop()
        assert ended.code == 0
        assert "Traceback" not in ended.stderr, ended.stderr[-4000:]
        lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
        assert not [line for line in lines if line["level"] == "error"]
        return [line for line in lines if line["event"] == "xds.stream.limited"]


@asynccontextmanager
async def siege(folder: Path, *flags: str, more: str = "") -> AsyncIterator[Siege]:
    """Serve a registry to honest clients, until the end of the block."""
    path = folder / "registry.yaml"
    path.write_text(registry(1, more))
    async with serve_process.serving(path, "--log-format", "json", *flags) as serving:
        members = await crowd(serving.xds_address, HONEST)
        try:
            besieged = Siege(serving, path, members, more)
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*(member.has_all.wait() for member in members))
            await besieged.edit()
            besieged.before_mib = highest_mib(serving.process.pid)
            yield besieged
        finally:
            for member in members:
                member.close()
