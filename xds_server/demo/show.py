"""The demo itself: what it does, in the order in which it tells it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import aiohttp

from xds_server.address import Address
from xds_server.demo import scene
from xds_server.demo.requests import CHAT_PATH, Client, Tally
from xds_server.demo.stack import Stack, running_stack
from xds_server.simulate.server import SimulatedServer, running

Say = Callable[[str], None]

SPLIT_REQUESTS = 200
BAR_WIDTH = 40
PATIENCE_S = 10.0
LOOK_AGAIN_S = 0.002


class DemoFailedError(Exception):
    """Something did not happen that the demo is to show; the message tells what."""


@asynccontextmanager
async def running_scene(folder: Path, gateway: Address, say: Say) -> AsyncIterator[Stack]:
    """Start the demo's servers and its deployment in *folder*, telling of each."""
    async with AsyncExitStack() as parts:
        servers = {}
        for name in scene.SERVERS:
            server = SimulatedServer(name=name, model=scene.POOL_OF[name])
            servers[name] = (await parts.enter_async_context(running(server))).address
        registry = folder / "registry.yaml"
        scene.write_registry(registry, gateway, servers)
        say("Starting three simulated model servers, a control plane, a companion and a real Envoy")
        started = perf_counter()
        stack = await parts.enter_async_context(running_stack(registry, gateway, folder))
        say(f"  ready after {perf_counter() - started:.1f} s; the one file to edit is {registry}")
        say("")
        say(registry.read_text())
        yield stack


async def show(stack: Stack, say: Say) -> None:
    """Show on *stack* what Modelyard does; raise DemoFailedError where it does not."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, stack.gateway)
        await _show_models(client, say)
        await _show_split(client, say)
        await _show_edit(stack, client, say)
        await _show_bad_edit(stack, client, say)
    say("")
    _say_fleet(stack, say)


async def _show_models(client: Client, say: Say) -> None:
    say("1. The model in the body decides which pool answers")
    say(f"   {'model':24} {'pool':10} {'server':12} {'the server sees':34} base model")
    names = [*await client.model_names(), "no-such-model"]
    for name in names:
        seen = await client.chat(name)
        if seen.error:
            say(f"   {name:24} {seen.status}: {seen.error}")
        else:
            say(f"   {name:24} {seen.pool:10} {seen.server:12} {seen.model:34} {seen.base_model}")
    seen = await client.chat("whatever", path="/v1/1b/chat/completions")
    say("   and a path can decide, whatever the body says:")
    say(f"   {'/v1/1b/chat/completions':24} {seen.pool:10} {seen.server:12} {seen.model}")


async def _show_split(client: Client, say: Say) -> None:
    say("")
    say(f'2. A split holds: {SPLIT_REQUESTS} requests for "auto", {scene.SPLIT_BEFORE}')
    answers = [await client.chat("auto") for _ in range(SPLIT_REQUESTS)]
    pools = Counter(seen.pool for seen in answers)
    for pool, count in sorted(pools.items()):
        bar = "#" * round(BAR_WIDTH * count / SPLIT_REQUESTS)
        say(f"   {pool:10} {bar:{BAR_WIDTH}} {count:3} ({100 * count / SPLIT_REQUESTS:.0f} %)")


async def _show_edit(stack: Stack, client: Client, say: Say) -> None:
    say("")
    say(f'3. Saving the file moves live traffic: now {scene.SPLIT_AFTER}, while "auto" is asked')
    async with client.asking("auto") as tally:
        await _until(lambda: len(tally.answers) > BAR_WIDTH, "answers before the edit")
        saved = perf_counter()
        scene.edit(stack.registry, scene.SPLIT_BEFORE, scene.SPLIT_AFTER)
        await _until(lambda: _settled(tally, saved) is not None, "the edit to take effect")
    moved = _settled(tally, saved)
    if moved is None or tally.failures:
        raise DemoFailedError(f"requests failed during the edit: {dict(tally.failures)}")
    say(f"   saved, and {1000 * moved:.0f} ms later the last answer of llama-1b had come")
    say(f"   {len(tally.answers)} requests went on meanwhile, 0 failed")


def _settled(tally: Tally, saved: float) -> float | None:
    """Return after how many seconds the old pool answered last, once the new one has for long."""
    last = max((at for at, pool in tally.answers if pool == "llama-1b"), default=saved)
    since = [at for at, _ in tally.answers if at > last]
    return max(last - saved, 0.0) if len(since) > BAR_WIDTH else None


async def _show_bad_edit(stack: Stack, client: Client, say: Say) -> None:
    say("")
    say("4. A bad edit changes nothing, and says why")
    scene.edit(stack.registry, scene.SPLIT_AFTER, scene.SPLIT_WRONG)
    await _until(lambda: stack.control_plane.publisher.error is not None, "the refusal")
    for line in (stack.control_plane.publisher.error or "").splitlines():
        say(f"   {line}")
    seen = await client.chat("auto")
    say(f'   "auto" is still answered by {seen.pool}; the file is repaired now')
    scene.edit(stack.registry, scene.SPLIT_WRONG, scene.SPLIT_BEFORE)
    await _until(lambda: _is_repaired(stack), "the repair")


def _is_repaired(stack: Stack) -> bool:
    status = stack.control_plane.status()
    return status.registry.error is None and all(node.converged for node in status.nodes)


def _say_fleet(stack: Stack, say: Say) -> None:
    status = stack.control_plane.status()
    say(f"Control plane: http://{stack.ready.status_address}, revision {status.revision}")
    for node in status.nodes:
        say(f"   {node.id}  envoy {node.envoy_version}  {node.variant}  converged {node.converged}")


def say_what_to_try(stack: Stack, say: Say) -> None:
    """Tell what a user can do with a demo that goes on."""
    body = """'{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}'"""
    say("")
    say("What to try next, while this runs (Ctrl-C ends it):")
    say(f"   curl -i http://{stack.gateway}{CHAT_PATH} -H 'content-type: application/json' \\")
    say(f"     -d {body}")
    say(f"   curl http://{stack.gateway}/v1/models")
    say(f"   $EDITOR {stack.registry}      # move weights, add an alias, break it; then curl again")
    say(f"   modelyard explain {stack.registry} --model auto")
    say(f"   open http://{stack.ready.status_address}/")


async def _until(happened: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():  # noqa: ASYNC110 - what is awaited happens in several places
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise DemoFailedError(f"waited {PATIENCE_S:g} s in vain for {what}") from None
