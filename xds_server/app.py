"""The control plane as a whole: what starts and stops in which order.

Does not parse arguments: see `xds_server.cli.serve`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector

from snapshots.snapshot import Snapshot
from xds_server.address import Address
from xds_server.envoy_binary import find_envoy
from xds_server.files.look import ReadProblem, read
from xds_server.fleet import Fleet
from xds_server.guard.channel import Channel, ChannelSettings
from xds_server.loads import Loads
from xds_server.moments import Moment
from xds_server.node_status import written
from xds_server.open_files import allow_open_files
from xds_server.reload.envoys import envoys_of
from xds_server.reload.metrics import ReloadMetrics
from xds_server.reload.publisher import RegistryPublisher
from xds_server.reload.watch import RegistryWatch
from xds_server.rollout import Rollout
from xds_server.secrets.watch import SecretWatch
from xds_server.state.state import NoState, State
from xds_server.status.client import client_route
from xds_server.status.door import StatusAccess, StatusDoor
from xds_server.status.draining import draining_views
from xds_server.status.node_metrics import NodeCollector
from xds_server.status.registry import ServedRegistry, registry_route
from xds_server.status.serving import check_guarded, serving
from xds_server.status.views import RegistryView, StatusView, status_view
from xds_server.status.waiting import Waiting
from xds_server.status.web import status_app
from xds_server.store import SnapshotStore
from xds_server.xds_serving import Told, serving_xds

if TYPE_CHECKING:
    from xds_server.preflight.check import Preflight

log = structlog.get_logger()

OPEN_FILES = 65_536
"""Each Envoy has a connection; many systems allow a process 1,024 unless asked."""


@dataclass(frozen=True, slots=True)
class PreflightSettings:
    """Which Envoy is asked about each snapshot, and how long it may take."""

    envoy_path: Path | None
    """None: the one beside this Python, or on the PATH."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Settings:
    """What one control plane is started with."""

    registry: Path
    xds_address: Address
    status_address: Address
    preflight: PreflightSettings | None = None
    """None: no Envoy is asked before a snapshot is published."""
    state_dir: Path | None = None
    """Where state is kept that a restart begins with."""
    state_history: int = 20
    """How many good registries are kept there."""
    channel: ChannelSettings = field(default_factory=ChannelSettings)
    status_access: StatusAccess = field(default_factory=StatusAccess)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a control plane that serves has to say: the addresses hold the ports chosen."""

    xds_address: Address
    status_address: Address
    revision: str
    models: int


class ControlPlane:
    """One control plane; for one event loop and one run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = CollectorRegistry()
        ProcessCollector(registry=self.metrics)
        self.store = SnapshotStore()
        self._state = NoState()
        if settings.state_dir:
            self._state = State(
                settings.state_dir, settings.state_history, settings.registry, self.metrics
            )
        self.publisher = RegistryPublisher(
            settings.registry, self.store, ReloadMetrics(self.metrics), self._state.keep
        )
        self.fleet = Fleet(self.store, self.publisher.describe_origin)
        self.loads = Loads()
        self.metrics.register(NodeCollector(self.fleet.nodes))
        self.rollout = Rollout(self.store, self.fleet, self.metrics)
        self.channel = Channel(settings.channel)
        self.status_door = StatusDoor(
            settings.status_access, [settings.status_address.host], self.metrics
        )
        self._serving_xds = False

    async def run(self, announce: Callable[[Ready], None]) -> None:
        """Serve until cancelled; call *announce* once everything is served.

        The file is built before anything listens, so that no Envoy is ever told less than all of
        it; unless there is what Envoys were told last, which is served while it is built. Status
        starts before xDS and ends after it, so that it can say that xDS is not served.
        Raises RefusedError, CannotUseStateError, CannotListenError, GuardError, UnguardedError or
        EnvoyError if it cannot start.
        """
        check_guarded(self.settings.status_address, self.settings.status_access)
        await self.channel.load()
        await self.status_door.load()
        if self.settings.preflight:
            self.publisher.preflight = await self._preflight(self.settings.preflight)
        async with AsyncExitStack() as stack:
            held = self._state.held(self.fleet.refusals, self.publisher.confidential)
            await stack.enter_async_context(held)
            content = await asyncio.to_thread(read, self.settings.registry)
            restored = await self._state.restore(content)
            if restored:
                self.publisher.resume(restored)
            else:
                await self.publisher.load(content)
            status_address = await stack.enter_async_context(self._status())
            xds_address = await stack.enter_async_context(self._xds())
            announce(self._ready(xds_address, status_address))
            stack.callback(self.publisher.give_up_second_step)
            if restored:
                await self.publisher.offer(content)
            await self._follow(content)

    async def _preflight(self, settings: PreflightSettings) -> Preflight:
        # Not imported at the start: it needs what builds, which takes long to import.
        from xds_server.preflight.check import Preflight  # noqa: PLC0415
        from xds_server.preflight.envoy import EnvoyValidator  # noqa: PLC0415
        from xds_server.preflight.metrics import PreflightMetrics  # noqa: PLC0415

        envoy = EnvoyValidator(find_envoy(settings.envoy_path))
        preflight = Preflight(envoy, settings.timeout_s, PreflightMetrics(self.metrics))
        await preflight.start()
        return preflight

    async def _follow(self, content: bytes | ReadProblem) -> None:
        """Follow the registry and the files that it refers to, until cancelled.

        *content* has been taken from the file already.
        """
        known = content if isinstance(content, bytes) else None
        registry = RegistryWatch(self.settings.registry, known)
        secrets = SecretWatch(self.publisher.files)

        async def offer(content: bytes | ReadProblem) -> None:
            self.rollout.edited()
            await self.publisher.offer(content)
            secrets.look_again()

        async def refresh() -> None:
            self.rollout.edited()
            await self.publisher.refresh()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(registry.follow(offer))
            tasks.create_task(secrets.follow(refresh))
            tasks.create_task(self.rollout.follow())
            tasks.create_task(self.fleet.refusals.follow(self.store))
            tasks.create_task(self.channel.follow())
            tasks.create_task(self.status_door.follow())
            envoys = partial(envoys_of, self.fleet, self.loads, self.store)
            tasks.create_task(self.publisher.publication.follow_drains(self.loads, envoys))

    def status(self) -> StatusView:
        """Return what `GET /status` answers; only once the first content has been loaded."""
        served, published = self.publisher.served, self.store.current
        if not served or not published:
            raise RuntimeError("nothing has been loaded")
        now = Moment.now()
        loaded_at = written(served.loaded.told(now))
        view = status_view(
            published.goal.revision,
            RegistryView(str(self.settings.registry), loaded_at, self.publisher.error),
            self.fleet.nodes(),
            now.at,
        )
        drains, longest_s = self.publisher.publication.draining()
        return replace(view, draining=draining_views(drains, longest_s, now))

    def _goal(self) -> Snapshot | None:
        return self.store.current.goal if self.store.current else None

    def served_registry(self) -> ServedRegistry | None:
        """Return the content that is served; None before the first has been loaded."""
        served, published = self.publisher.served, self.store.current
        if not served or not published:
            return None
        return ServedRegistry(published.goal.revision, str(self.settings.registry), served.text)

    def _ready(self, xds_address: Address, status_address: Address) -> Ready:
        served = self.publisher.served
        models = served.models if served else 0
        return Ready(xds_address, status_address, self.status().revision, models)

    @asynccontextmanager
    async def _status(self) -> AsyncIterator[Address]:
        waiting = Waiting(self.status, self.publisher.has_read_all, self.fleet.changed)
        routes = (
            registry_route(self.served_registry),
            client_route(self._goal),
            waiting.route(),
        )
        app = status_app(
            self.status, lambda: self._serving_xds, self.metrics, *routes, door=self.status_door
        )

        async def let_go(_: web.Application) -> None:
            waiting.close()

        app.on_shutdown.append(let_go)
        newcomers = self.status_door.newcomers
        async with serving(app, self.settings.status_address, newcomers) as address:
            yield address

    @asynccontextmanager
    async def _xds(self) -> AsyncIterator[Address]:
        told = Told(self.store, self.fleet, self.loads, self.metrics)
        async with serving_xds(self.settings.xds_address, told, self.channel) as address:
            self._serving_xds = True
            try:
                yield address
            finally:
                self._serving_xds = False


async def serve_until_signal(settings: Settings, announce: Callable[[Ready], None]) -> None:
    """Run a control plane until SIGTERM or SIGINT, then stop it in order and return.

    Further signals change nothing: a terminal and a supervisor may both send one.
    """
    allow_open_files(OPEN_FILES)
    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if serving and not received:
            log.info("server.stopping", signal=number.name)
            serving.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        await ControlPlane(settings).run(announce)
    except asyncio.CancelledError:
        if not received:
            raise
        log.info("server.stopped")
