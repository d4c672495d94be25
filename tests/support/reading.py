"""A client that reads an answer while it is being said, over HTTP/1.1 or HTTP/2."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp

from tests.support.http2_client import Http2Client, http2_client
from xds_server.address import Address

PROTOCOLS = ("HTTP/1.1", "HTTP/2")
WITHIN_S = 10.0
HEADERS = {"content-type": "application/json"}


class CutError(Exception):
    """An answer that stopped before its end; says how the client could tell."""


class Reading(ABC):
    """One request on its way, and its answer as far as it was read."""

    @abstractmethod
    async def head(self) -> tuple[int, Mapping[str, str]]:
        """Wait for status and headers of the answer; names in lower case."""

    @abstractmethod
    async def exactly(self, size: int) -> bytes:
        """Wait for *size* more bytes of the body."""

    @abstractmethod
    async def rest(self) -> bytes:
        """Return what is left of the body once it has ended; CutError if it was cut."""

    @abstractmethod
    async def give_up(self) -> None:
        """Tell the other end that nobody reads on."""


class _Http1Reading(Reading):
    def __init__(self, post: asyncio.Task[aiohttp.ClientResponse]) -> None:
        self._post = post

    async def head(self) -> tuple[int, Mapping[str, str]]:
        async with asyncio.timeout(WITHIN_S):
            response = await self._post
        return response.status, {name.lower(): value for name, value in response.headers.items()}

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await self._post.result().content.readexactly(size)

    async def rest(self) -> bytes:
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._post.result().content.read()
        except aiohttp.ClientPayloadError as error:
            raise CutError("closed before the end") from error

    async def give_up(self) -> None:
        if self._post.done():
            self._post.result().close()
            return
        self._post.cancel()
        with suppress(asyncio.CancelledError):
            await self._post


class _Http2Reading(Reading):
    def __init__(self, client: Http2Client, stream: int) -> None:
        self._client = client
        self._stream = stream
        self._read = 0

    async def head(self) -> tuple[int, Mapping[str, str]]:
        return await self._client.head(self._stream)

    async def exactly(self, size: int) -> bytes:
        start, self._read = self._read, self._read + size
        return (await self._client.body(self._stream, self._read))[start : self._read]

    async def rest(self) -> bytes:
        body = await self._client.body(self._stream)
        if (code := self._client.reset_code(self._stream)) is not None:
            raise CutError(f"reset with {code}")
        return body[self._read :]

    async def give_up(self) -> None:
        await self._client.reset(self._stream)


class Reader:
    """A client of one gateway; an HTTP/2 one has one connection, another one for each request."""

    def __init__(self, url: str, client: aiohttp.ClientSession | Http2Client) -> None:
        self._url = url
        self._client = client
        self._posts: list[asyncio.Task[aiohttp.ClientResponse]] = []

    async def ask(self, body: object, path: str = "/v1/chat/completions") -> Reading:
        """Send *body* as JSON, and return before anything of the answer is here."""
        data = json.dumps(body).encode()
        if isinstance(self._client, Http2Client):
            stream = await self._client.open(path=path)
            await self._client.send(stream, [data])
            return _Http2Reading(self._client, stream)
        post = self._client.post(self._url + path, data=data, headers=HEADERS)
        self._posts.append(asyncio.ensure_future(post))
        return _Http1Reading(self._posts[-1])

    async def close(self) -> None:
        """Read no more."""
        for post in self._posts:
            post.cancel()
        for response in await asyncio.gather(*self._posts, return_exceptions=True):
            if isinstance(response, aiohttp.ClientResponse):
                response.close()


@asynccontextmanager
async def reader(protocol: str, gateway: Address) -> AsyncIterator[Reader]:
    """Give a client of *gateway* that speaks *protocol* meanwhile."""
    async with AsyncExitStack() as stack:
        client: aiohttp.ClientSession | Http2Client
        if protocol == "HTTP/2":
            client = await stack.enter_async_context(http2_client(gateway))
        else:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
            client = await stack.enter_async_context(session)
        reading = Reader(f"http://{gateway}", client)
        stack.push_async_callback(reading.close)
        yield reading
