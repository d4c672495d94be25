"""The demo itself: what it does, in the order in which it tells it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import aiohttp

from xds_server.address import Address
from xds_server.demo import scene
from xds_server.demo.requests import CHAT_PATH, Client, Seen, Tally
from xds_server.demo.stack import Stack, running_stack
from xds_server.simulate.server import SimulatedServer, running

Say = Callable[[str], None]

SPLIT_REQUESTS = 200
BAR_WIDTH = 40
ANSWER_WIDTHS = (9, 11, 0)
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
        say(
            f"Ready after {perf_counter() - started:.1f} s: Envoy takes requests at http://{gateway}"
        )
        say(f"and routes them by one file, {registry}:")
        say("")
        for line in registry.read_text().splitlines():
            say(f"   {line}")
        yield stack


async def show(stack: Stack, say: Say) -> None:
    """Show on *stack* what Modelyard does; raise DemoFailedError where it does not."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, stack.gateway)
        try:
            await _show_models(client, say)
            await _show_split(client, say)
            await _show_edit(stack, client, say)
            await _show_bad_edit(stack, client, say)
        except aiohttp.ClientError as error:
            raise DemoFailedError(f"a request failed: {error}") from error
    _show_fleet(stack, say)


async def _show_models(client: Client, say: Say) -> None:
    say("")
    say('1. The "model" in the body of a request decides who answers')
    say(_row("model", "what it is", "pool", "server", "the server is asked for"))
    for name, kind in scene.ASKED:
        say(_row(name, kind, *_answer(await client.chat(name))))
    unknown = await client.chat(scene.UNKNOWN)
    say(_row(scene.UNKNOWN, "no model", f"none: {unknown.status}, {unknown.error}"))
    say("   A path can decide as well, whatever the body says:")
    path = f"{scene.PATH}/chat/completions"
    say(_row(path, "a path", *_answer(await client.chat("whatever", path=path))))
    say(f"   GET /v1/models lists {', '.join(await client.model_names())}")


def _row(name: str, kind: str, *answer: str) -> str:
    columns = (f"{text:{width}}" for text, width in zip(answer, ANSWER_WIDTHS, strict=False))
    return f"   {name:24} {kind:15} {' '.join(columns)}".rstrip()


def _answer(seen: Seen) -> tuple[str, str, str]:
    """Return pool, server, and the model that the server was asked for; raise for an error."""
    if seen.error:
        raise DemoFailedError(f"a request failed: {seen.status}: {seen.error}")
    return seen.pool, seen.server, seen.model


async def _show_split(client: Client, say: Say) -> None:
    say("")
    say(f'2. A split is kept: {SPLIT_REQUESTS} requests for "auto", {scene.SPLIT_BEFORE}')
    answers = [await client.chat("auto") for _ in range(SPLIT_REQUESTS)]
    for seen in answers:
        _answer(seen)
    for pool, count in sorted(Counter(seen.pool for seen in answers).items()):
        bar = "#" * round(BAR_WIDTH * count / SPLIT_REQUESTS)
        say(f"   {pool:10} {bar:{BAR_WIDTH}} {count:3} = {100 * count / SPLIT_REQUESTS:.0f} %")


async def _show_edit(stack: Stack, client: Client, say: Say) -> None:
    say("")
    say('3. Saving the file moves live traffic: while "auto" is asked for without a pause,')
    say(f"   the file is saved with {scene.SPLIT_AFTER}")
    async with client.asking("auto") as tally:
        await _until(lambda: len(tally.answers) > BAR_WIDTH, "answers before the edit")
        saved = perf_counter()
        scene.edit(stack.registry, scene.SPLIT_BEFORE, scene.SPLIT_AFTER)
        await _until(lambda: _settled(tally, saved) is not None, "the edit to take effect")
    moved = _settled(tally, saved)
    if moved is None or tally.failures:
        raise DemoFailedError(f"requests failed during the edit: {dict(tally.failures)}")
    say(f"   {1000 * moved:.0f} ms later llama-1b had given its last answer")
    say(f"   {len(tally.answers)} requests were answered before, meanwhile and after; 0 failed")


def _settled(tally: Tally, saved: float) -> float | None:
    """Return after how many seconds the old pool answered last, once the new one has for long."""
    last = max((at for at, pool in tally.answers if pool == "llama-1b"), default=saved)
    since = [at for at, _ in tally.answers if at > last]
    return max(last - saved, 0.0) if len(since) > BAR_WIDTH else None


async def _show_bad_edit(stack: Stack, client: Client, say: Say) -> None:
    say("")
    say("4. A mistake in the file changes nothing, and is explained: now it is saved with")
    say(f"   {scene.SPLIT_WRONG}")
    scene.edit(stack.registry, scene.SPLIT_AFTER, scene.SPLIT_WRONG)
    await _until(lambda: stack.control_plane.publisher.error is not None, "the refusal")
    error = stack.control_plane.publisher.error or ""
    for line in error.replace(" (hint", "\n  (hint").splitlines():
        say(f"   {line}")
    seen = await client.chat("auto")
    _answer(seen)
    say(f'   "auto" is still answered by {seen.pool}, as before. The file is repaired again')
    scene.edit(stack.registry, scene.SPLIT_WRONG, scene.SPLIT_BEFORE)
    await _until(lambda: _is_repaired(stack), "the repair")


def _is_repaired(stack: Stack) -> bool:
    status = stack.control_plane.status()
    return status.registry.error is None and all(node.converged for node in status.nodes)


def _show_fleet(stack: Stack, say: Say) -> None:
    status = stack.control_plane.status()
    say("")
    say("5. What every Envoy runs is known: `modelyard status` tells, `modelyard wait` awaits it")
    say(f"   {'control plane':13} serves revision {status.revision}")
    for node in status.nodes:
        state = "converged" if node.converged else "not there yet"
        say(f"   {node.id:13} runs revision {node.revision}: {state} (Envoy {node.envoy_version})")


def say_what_to_try(stack: Stack, say: Say) -> None:
    """Tell what a user can do with a demo that goes on."""
    body = """'{"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}'"""
    say("")
    say("Everything goes on until Ctrl-C. To try, in another terminal:")
    say(f"   curl -i http://{stack.gateway}{CHAT_PATH} \\")
    say(f"     -H 'content-type: application/json' -d {body}")
    say(f"   curl http://{stack.gateway}/v1/models")
    say(f"   $EDITOR {stack.registry}    # move weights, add an alias, break it; ask again")
    say(f"   {command_to_type()} explain {stack.registry} --model auto")
    url = f"http://{stack.ready.status_address}"
    say(f"   {command_to_type()} status --watch --status-url {url}")
    say(f"   open {url}/ in a browser: what each Envoy runs")


def command_to_type() -> str:
    """Return how a user starts this program: by its name only where the shell would find it."""
    return "modelyard" if shutil.which("modelyard") else os.path.relpath(sys.argv[0])


async def _until(happened: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():  # noqa: ASYNC110 - what is awaited happens in several places
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise DemoFailedError(f"waited {PATIENCE_S:g} s in vain for {what}") from None
