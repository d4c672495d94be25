"""A real browser that shows a page: what is in it, and what a click changes.

Speaks the DevTools protocol of Chromium to one tab.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
START_LIMIT_S = 60
PAUSE_S = 0.05


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0

    async def call(self, method: str, **parameters: Any) -> Any:
        """Return what the browser answers to *method*; AssertionError if it cannot."""
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        async for message in self._socket:
            answer = json.loads(message.data)
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer["error"]
                return answer["result"]
        raise AssertionError("the browser is gone")

    async def value(self, expression: str) -> Any:
        """Return the value of *expression* of JavaScript in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until *expression* is true in the page."""
        while not await self.value(f"Boolean({expression})"):  # noqa: ASYNC110 - a page is asked
            await asyncio.sleep(PAUSE_S)

    async def text(self, selector: str) -> str:
        """Return what a person reads in the first element that *selector* finds."""
        found = f"document.querySelector({json.dumps(selector)})"
        return " ".join(str(await self.value(f"{found}.innerText")).split())

    async def click(self, selector: str) -> None:
        """Click the first element that *selector* finds."""
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def resize(self, width: int, height: int) -> None:
        """Give the page a window of this size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, scheme: str) -> None:
        """Have a person prefer the colour scheme `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=False)
        path.write_bytes(  # noqa: ASYNC240 - a test has nothing else to do
            b64decode(answer["data"])
        )


@asynccontextmanager
async def tab(url: str, profile: Path, *options: str) -> AsyncIterator[Tab]:
    """Start a browser with *profile* as its folder, and show *url* in it."""
    browser = await asyncio.create_subprocess_exec(
        str(BROWSER),
        *OPTIONS,
        f"--user-data-dir={profile}",
        *options,
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            port = await _debugging_port(profile)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            address = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                shown = Tab(socket)
                await shown.call("Page.navigate", url=url)
                yield shown
    finally:
        browser.terminate()
        await browser.wait()


async def _debugging_port(profile: Path) -> int:
    written = profile / "DevToolsActivePort"
    while not written.exists() or "\n" not in written.read_text():  # noqa: ASYNC110 - the browser says so nowhere else
        await asyncio.sleep(PAUSE_S)
    return int(written.read_text().splitlines()[0])
