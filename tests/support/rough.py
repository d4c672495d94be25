"""Many uploads at once, and uploads that are broken off; and what a deployment holds afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapshots.ir.names import EXT_PROC_CLUSTER
from tests.support.deployment import Deployment, deployment
from tests.support.echo_server import echo_server
from tests.support.ext_proc_process import companion_process
from tests.support.http1_client import chunked, cut, head, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.memory import resident_mib
from xds_server.bootstrap import UnixPath

ROUND_TIMEOUT_S = 60.0
REST_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.02
CHUNKED = ("content-type: application/json", "transfer-encoding: chunked")


@dataclass(frozen=True, slots=True)
class Roughed:
    """A deployment whose companion is a process of its own; native has none."""

    deployed: Deployment
    companion_pid: int | None

    def resident_mib(self) -> dict[str, float]:
        """Return how much memory each process holds."""
        pids = {"envoy": self.deployed.envoy.process.pid}
        if self.companion_pid is not None:
            pids["companion"] = self.companion_pid
        return {name: resident_mib(pid) for name, pid in pids.items()}

    async def at_rest(self) -> None:
        """Wait until nothing is in flight any more: no request, and no call to the companion."""
        async with asyncio.timeout(REST_TIMEOUT_S):
            # Nothing tells when Envoy has let go of a request.
            while any((await self.in_flight()).values()):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)

    async def in_flight(self) -> dict[str, int]:
        """Return how many requests Envoy counts as active, by whose they are."""
        own = r"http\.default\.downstream_rq_active"
        others = rf"cluster\.({EXT_PROC_CLUSTER}|pool/.*)\.upstream_rq_active"
        counts = await self.deployed.stats(f"^({own}|{others})$")
        assert len(counts) >= 3, counts
        return counts


@asynccontextmanager
async def roughed(template: str, mode: str, folder: Path) -> AsyncIterator[Roughed]:
    """Run *template* with its `<mode>` and `<echo>`, with the command `modelyard ext-proc`."""
    socket = folder / "companion.sock"
    async with echo_server("echo") as echo:
        text = template.replace("<mode>", mode).replace("<echo>", echo.address)
        if mode == "native":
            async with deployment(text, (), folder) as running:
                await running.companion.stop()
                yield Roughed(running, None)
            return
        async with (
            companion_process(f"unix:{socket}") as companion,
            deployment(text, (), folder, companions=(UnixPath(str(socket)),)) as running,
        ):
            yield Roughed(running, companion.process.pid)


@dataclass(slots=True)
class Round:
    """What came of many uploads at once."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """`200 whole`, or what else came."""
    seconds: float = 0.0
    resident_mib: dict[str, float] = field(default_factory=dict)
    """Once all were answered."""


async def uploads_at_once(roughed: Roughed, count: int, body: bytes) -> Round:
    """Send *body* on *count* connections at once; half in chunks."""
    done = Round()
    started_s = time.perf_counter()
    async with asyncio.timeout(ROUND_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        sent = [
            tasks.create_task(_upload(roughed.deployed, body, is_chunked=i % 2 == 0))
            for i in range(count)
        ]
    done.seconds = time.perf_counter() - started_s
    done.outcomes = Counter(task.result() for task in sent)
    await roughed.at_rest()
    done.resident_mib = roughed.resident_mib()
    return done


async def _upload(deployed: Deployment, body: bytes, *, is_chunked: bool) -> str:
    async with http1_client(deployed.gateway) as client:
        if is_chunked:
            client.write(head(headers=CHUNKED) + chunked(cut(body, 65_536)))
        else:
            client.write(whole(body))
        answer = await client.answer()
    if answer.status != 200:
        return f"{answer.status} {answer.error['code']}"
    return "200 whole" if answer.seen["body_bytes"] == len(body) else "200 cut"


async def broken_off_uploads(
    roughed: Roughed, count: int, body: bytes, chance: random.Random
) -> None:
    """Begin *count* uploads of *body*, 50 at once, and break each off at a place of chance."""
    gate = asyncio.Semaphore(50)

    async def one() -> None:
        async with gate:
            await _break_off(roughed.deployed, body, chance)

    async with asyncio.timeout(ROUND_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())


async def _break_off(deployed: Deployment, body: bytes, chance: random.Random) -> None:
    path = chance.choice(["/v1/completions", "/v1/renamed/completions"])
    way = chance.choice(["length", "chunks", "streams"])
    place = chance.randrange(len(body))
    if way == "streams":
        async with http2_client(deployed.gateway) as client:
            stream = await client.open(path=path)
            await client.send_data(stream, body[:place])
            if chance.random() < 0.5:
                await client.reset(stream)
        return
    wire = (
        whole(body, path=path)
        if way == "length"
        else head(path=path, headers=CHUNKED) + chunked(cut(body, 5000))
    )
    async with http1_client(deployed.gateway) as client:
        await client.send(wire[: chance.randrange(len(wire))])
        if chance.random() < 0.5:
            client.abort()


def chat_of(size: int, name: str) -> bytes:
    """Return a chat of about *size* bytes whose model comes last."""
    return json.dumps(
        {"messages": [{"role": "user", "content": "x" * size}], "model": name}
    ).encode()
