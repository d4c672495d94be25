"""What is being answered while the registry is edited is answered to its end, whatever the edit."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.support.answering import Answering, Told, answering, assert_whole
from tests.support.deployment import Deployment, deployment
from tests.support.ext_proc_process import companion_process
from tests.support.told_server import ToldServer, told_server
from xds_server.bootstrap import UnixPath
from xds_server.demo.stack import free_address

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>"}
pools:
  told: {endpoints: ["<told>", "<sick>"], model: org/target}
  other: {endpoints: ["<other>"]}
models:
  m:
    split: {told: 1, other: 0}
    paths: [/v1/at-m]
  other: {pool: other}
extraction: {mode: <mode>, on_failure: native}
"""
SERVERS = {"other": {}, "sick": {"healthy": False}}
POOL = '  told: {endpoints: ["<told>", "<sick>"], model: org/target}\n'
SPLIT = "    split: {told: 1, other: 0}\n"
PATHS = "    paths: [/v1/at-m]\n"
MODEL = f"  m:\n{SPLIT}{PATHS}"
LISTEN = '  default: {listen: "<gateway>"}\n'

Edit = Sequence[tuple[str, str]]
OF_POOLS: dict[str, Edit] = {
    "its server leaves the pool": [('"<told>", ', "")],
    "its pool loses every server": [
        ('["<told>", "<sick>"]', "[]"),
        ("told: 1, other: 0", "told: 0, other: 1"),
    ],
    "its pool goes": [(POOL, ""), (SPLIT, "    pool: other\n")],
    "its pool is renamed": [("told:", "renamed:")],
    "its pool expects another name": [("org/target", "org/another")],
    "its pool no longer renames": [(", model: org/target", "")],
    "its pool gets an adapter": [("org/target", "org/target, adapters: [lora]")],
    "its server weighs more": [('"<told>"', '{address: "<told>", weight: 9}')],
    "its server moves to another zone": [('"<told>"', '{address: "<told>", zone: z}')],
    "its health check comes more often": [
        ("org/target", "org/target, health_check: {interval: 7s}")
    ],
    "its health check goes": [("org/target", "org/target, health_check: false")],
    "its pool balances by hash": [("org/target", "org/target, load_balancing: maglev")],
}
OF_MODELS: dict[str, Edit] = {
    "the weights change": [("told: 1, other: 0", "told: 0, other: 1")],
    "its model moves to another pool": [(SPLIT, "    pool: other\n")],
    "its model goes": [(MODEL, "")],
    "its model gets an alias": [(PATHS, f"{PATHS}    aliases: [further]\n")],
    "its path goes": [(PATHS, "")],
    "its path moves": [("/v1/at-m]", "/v1/elsewhere]")],
    "its timeout shrinks": [(PATHS, f"{PATHS}    timeout: 1ms\n")],
    "its idle_timeout shrinks": [(PATHS, f"{PATHS}    idle_timeout: 1ms\n")],
}
OF_LISTENERS: dict[str, Edit] = {
    "the mode changes": [("mode: <mode>", "mode: <other mode>")],
    "the reaction to failures changes": [("on_failure: native", "on_failure: reject")],
    "larger bodies are refused": [("on_failure", "max_body: 1KiB, on_failure")],
    "answers no longer name their server": [
        ('"<gateway>"', '"<gateway>", response_headers: false')
    ],
    "the gateway no longer has its model": [('"<gateway>"', '"<gateway>", models: [other]')],
    "a gateway joins": [(LISTEN, f'{LISTEN}  more: {{listen: "<free>", node_cluster: x}}\n')],
    "its Envoy gets a gateway of its own": [
        (LISTEN, f'{LISTEN}  own: {{listen: "<free>", node_cluster: default}}\n')
    ],
    "its Envoy loses its gateway": [('"<gateway>"', '"<gateway>", node_cluster: x')],
    "the gateway moves to another port": [("<gateway>", "<free>")],
    "the gateway is replaced": [(LISTEN, '  more: {listen: "<free>"}\n')],
    "the gateway is renamed": [("  default:", "  renamed:")],
}
EDITS = {**OF_POOLS, **OF_MODELS, **OF_LISTENERS}


class Place(NamedTuple):
    """A deployment, the server whose answers the tests give, and what stands for what."""

    deployed: Deployment
    server: ToldServer
    names: dict[str, str]

    def registry(self, edit: Edit = ()) -> str:
        """Return the registry after *edit*, as far as it does not name the deployment's parts."""
        text = REGISTRY
        for old, new in edit:
            assert old in text
            text = text.replace(old, new)
        return _filled(text, self.names)

    def answering(self) -> AbstractAsyncContextManager[list[Answering]]:
        """Have requests on the way: by body and by path, before and after their first token."""
        return answering(Told(self.deployed, self.server), "m")

    @asynccontextmanager
    async def edited(self, edit: Edit) -> AsyncIterator[None]:
        """Have Envoy run the registry after *edit* meanwhile."""
        try:
            await self.deployed.write(self.registry(edit))
            yield
        finally:
            await self.deployed.write(self.registry())


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[("ext_proc", "native", "delta"), ("native", "ext_proc", "sotw")],
    ids=["ext_proc", "native"],
)
async def place(request: Any, tmp_path_factory: Any) -> AsyncIterator[Place]:
    mode, other, variant = request.param
    folder = tmp_path_factory.mktemp("streams")
    async with told_server() as server:
        names = {
            "<told>": server.address,
            "<mode>": mode,
            "<other mode>": other,
            "<free>": str(free_address()),
        }
        async with deployment(_filled(REGISTRY, names), SERVERS, folder, variant) as deployed:
            yield Place(deployed, server, names)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_answers_go_on_to_their_end_when(place: Place, edit: Edit):
    async with place.answering() as requests, place.edited(edit):
        await assert_whole(requests)


async def test_answers_outlive_one_edit_after_another(place: Place):
    async with place.answering() as requests:
        for edit in OF_LISTENERS.values():
            async with place.edited(edit):
                pass
        await assert_whole(requests)


async def test_answers_go_on_while_their_server_fails_its_health_check(place: Place):
    quickly = [("org/target", "org/target, health_check: {interval: 20ms}")]
    async with place.edited(quickly), place.answering() as requests:
        place.server.healthy = False
        try:
            await no_server_is_healthy(place.deployed)
            await assert_whole(requests)
        finally:
            place.server.healthy = True


async def no_server_is_healthy(deployed: Deployment) -> None:
    async with asyncio.timeout(10):
        # Nothing tells when a check has failed.
        while any(  # noqa: ASYNC110
            (await deployed.stats("cluster.*told.membership_healthy")).values()
        ):
            await asyncio.sleep(0.01)


async def test_answers_go_on_while_the_control_plane_is_replaced(place: Place):
    async with place.answering() as requests:
        await place.deployed.control_plane.stop()
        await assert_whole(requests[:2])
        await place.deployed.control_plane.start()
        async with place.edited(OF_MODELS["its model goes"]):
            await assert_whole(requests[2:])


async def test_answers_go_on_while_the_companion_is_replaced(place: Place):
    async with place.answering() as requests:
        await place.deployed.companion.stop()
        await assert_whole(requests[:2])
        await place.deployed.companion.start()
        await assert_whole(requests[2:])


@asynccontextmanager
async def own_place(folder: Path, **options: Any) -> AsyncIterator[Place]:
    """Run a deployment with *options* of `deployment` for one test alone."""
    async with told_server() as server:
        names = {"<told>": server.address, "<mode>": "ext_proc"}
        registry = _filled(REGISTRY, names)
        async with deployment(registry, SERVERS, folder, **options) as deployed:
            yield Place(deployed, server, names)


async def test_answers_go_on_when_the_companion_is_killed(tmp_path: Path):
    socket = UnixPath(str(tmp_path / "ext-proc.sock"))
    async with (
        companion_process(f"unix:{socket.path}") as companion,
        own_place(tmp_path, companions=(socket,)) as place,
        place.answering() as requests,
    ):
        await companion.stop(signal.SIGKILL)
        await assert_whole(requests)


async def test_only_an_edit_of_the_listener_cuts_answers_and_only_after_envoys_drain_time(
    tmp_path: Path,
):
    async with own_place(tmp_path, envoy_options=("--drain-time-s", "1")) as place:
        async with (
            place.answering() as requests,
            place.edited(OF_LISTENERS["the reaction to failures changes"]),
        ):
            for request in requests:
                await request.exchange.left()
        async with (
            place.answering() as requests,
            place.edited(OF_MODELS["its model moves to another pool"]),
        ):
            # Nothing tells that Envoy does not do something.
            await asyncio.sleep(1.5)
            await assert_whole(requests)
