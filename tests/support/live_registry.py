"""A registry that is edited while requests go through it, with the servers that it names.

Every edit leaves the names in `ALWAYS_SERVED` served, so that no request may fail.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.deployment import Deployment
from tests.support.load import chat_request

ALWAYS_SERVED = ("chat", "talk", "lora", "solo")
PATH = "/v1/solo/chat/completions"

SERVER = {"latency_s": 0.005}
"""Long enough for an edit, or the end of a server, to meet requests on their way."""
FIRST_SERVERS = dict.fromkeys(("base-1", "side-1", "solo-1"), SERVER)
FIRST: dict[str, Any] = {
    "version": 1,
    "gateways": {"default": {"listen": "<gateway>"}},
    "pools": {
        "base": {"endpoints": ["<base-1>"], "adapters": ["lora"]},
        "side": {"endpoints": ["<side-1>"], "model": "org/side"},
        "solo": {"endpoints": ["<solo-1>"]},
    },
    "models": {
        "chat": {"split": {"base": 70, "side": 30}, "aliases": ["talk"]},
        "solo": {"pool": "solo", "paths": ["/v1/solo"]},
    },
}


def first_template() -> str:
    """Return the registry before the first edit."""
    return json.dumps(FIRST)


def requests() -> list[bytes]:
    """Return the requests that must always be answered."""
    by_name = [chat_request(name) for name in ALWAYS_SERVED]
    return [*by_name, chat_request("whatever", path=PATH), chat_request("chat", stream=True)]


class LiveRegistry:
    """The registry of a deployment, and the edits that are made to it."""

    def __init__(self, deployed: Deployment) -> None:
        self.content = json.loads(first_template())
        self.pools = self.content["pools"]
        self.models = self.content["models"]
        self._deployed = deployed
        self._started = 1

    def text(self) -> str:
        """Return the file, with `<name>` for the address of a server."""
        return json.dumps(self.content, ensure_ascii=False)

    def write(self) -> None:
        """Write the file and wait for nothing."""
        self._deployed.registry.write_text(self._deployed.fill(self.text()))

    async def save(self) -> None:
        """Write the file, wait until Envoy runs it, then stop the servers that it left out."""
        text = self.text()
        await self._deployed.write(text)
        for name in tuple(self._deployed.servers):
            if f"<{name}>" not in text:
                await self._deployed.remove_server(name)

    async def start_server(self, **options: Any) -> str:
        """Start a server and return how the file names it."""
        self._started += 1
        name = f"server-{self._started}"
        await self._deployed.add_server(name, **SERVER, **options)
        return f"<{name}>"

    # Edits: each changes the file in one go.

    async def change_weights(self) -> None:
        split = self.models["chat"]["split"]
        self.models["chat"]["split"] = dict(zip(split, reversed(split.values()), strict=True))

    async def move_traffic_to_a_new_pool(self, **options: Any) -> None:
        server = await self.start_server(**options)
        self.pools["fresh"] = {"endpoints": [server]}
        self.models["solo"]["pool"] = "fresh"

    async def move_traffic_back_and_remove_the_pool(self) -> None:
        self.models["solo"]["pool"] = "solo"
        del self.pools["fresh"]

    async def add_an_endpoint(self) -> None:
        self.pools["base"]["endpoints"].append(await self.start_server())

    async def remove_an_endpoint(self) -> None:
        del self.pools["base"]["endpoints"][0]

    async def replace_all_endpoints(self, **options: Any) -> None:
        self.pools["side"]["endpoints"] = [await self.start_server(**options)]

    async def add_models_and_aliases(self) -> None:
        self.models["extra"] = {"pool": "side", "aliases": ["модель/ü"], "paths": ["/v1/extra"]}
        self.models["solo"]["aliases"] = ["alone"]

    async def remove_models_and_aliases(self) -> None:
        del self.models["extra"], self.models["solo"]["aliases"]

    async def change_timeouts(self) -> None:
        before = self.models["chat"].get("timeout", "300s")
        self.models["chat"]["timeout"] = "60s" if before == "300s" else "300s"

    async def change_the_name_that_a_pool_expects(self) -> None:
        before = self.pools["side"]["model"]
        self.pools["side"]["model"] = "org/other" if before == "org/side" else "org/side"

    async def begin_to_rewrite(self) -> None:
        self.pools["base"]["model"] = "org/base"

    async def end_to_rewrite(self) -> None:
        del self.pools["base"]["model"]

    async def change_health_check(self) -> None:
        self.pools["solo"]["health_check"] = {"interval": "5s"}

    async def change_load_balancing(self) -> None:
        self.pools["base"]["load_balancing"] = "round_robin"

    async def change_the_listener(self) -> None:
        self.content["extraction"] = {"max_body": "1MiB"}

    async def rename_a_pool(self) -> None:
        self.pools["renamed"] = self.pools.pop("solo")
        self.models["solo"]["pool"] = "renamed"

    async def turn_a_model_into_an_adapter(self) -> None:
        del self.models["solo"]
        self.pools["base"]["adapters"] = ["lora", "solo"]
        self.models["chat"]["paths"] = ["/v1/solo"]

    async def back_to_the_start(self) -> None:
        self.content.pop("extraction")
        self.pools["solo"] = {"endpoints": self.pools.pop("renamed")["endpoints"]}
        self.pools["base"] = {"endpoints": self.pools["base"]["endpoints"], "adapters": ["lora"]}
        self.models["solo"] = {"pool": "solo", "paths": ["/v1/solo"]}
        del self.models["chat"]["paths"]

    def edits(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """Return every edit, in an order after which they can begin anew."""
        return (
            self.change_weights,
            self.move_traffic_to_a_new_pool,
            self.add_an_endpoint,
            self.change_timeouts,
            self.remove_an_endpoint,
            self.move_traffic_back_and_remove_the_pool,
            self.add_models_and_aliases,
            self.begin_to_rewrite,
            self.change_health_check,
            self.change_the_name_that_a_pool_expects,
            self.replace_all_endpoints,
            self.change_load_balancing,
            self.remove_models_and_aliases,
            self.end_to_rewrite,
            self.change_the_listener,
            self.rename_a_pool,
            self.turn_a_model_into_an_adapter,
            self.back_to_the_start,
        )
