"""Many ADS clients in one process, each on a connection of its own, as light as can be.

Each asks by delta for what an Envoy asks for, accepts everything, and notes when it did. It speaks
just enough HTTP/2 and gRPC for that; a client of the gRPC library costs more than the control plane
that is to be measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import hpack
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from xds_server.ads.service import SERVICE_NAME
from xds_server.ext_proc.wire.frames import (
    DEFAULT_WINDOW,
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    PREFACE,
    SETTINGS_ACK,
    Flag,
    Frame,
    Setting,
    frame,
    head,
    parsed_settings,
    settings,
    window_update,
)
from xds_server.ext_proc.wire.grpc import framed

FIRST_TYPES = (CLUSTER, LISTENER, SCOPED_ROUTE)
NAMED_BY = {CLUSTER: ENDPOINT, SCOPED_ROUTE: ROUTE}
"""The types that are asked for by the names of others."""
STREAM = 1
WINDOW = 2**31 - 1
GRPC_PREFIX_BYTES = 5
_OPENED_BY = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", f"/{SERVICE_NAME}/DeltaAggregatedResources"),
    (":authority", "modelyard-xds"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
_OPENING = b"".join(
    (
        PREFACE,
        settings({Setting.INITIAL_WINDOW_SIZE: WINDOW}),
        window_update(0, WINDOW - 2**16),
        frame(Frame.HEADERS, Flag.END_HEADERS, STREAM, hpack.Encoder().encode(_OPENED_BY)),
    )
)


Held = Mapping[str, Mapping[str, str]]
"""By type and name: the versions that a client has."""


@dataclass(slots=True)
class Tally:
    """What a client was sent."""

    responses: int = 0
    resources: int = 0
    wire_bytes: int = 0


@dataclass(slots=True, eq=False)
class CrowdMember(asyncio.Protocol):
    """One client."""

    node_id: str
    held: Held = field(default_factory=dict)
    """From a connection before."""
    tally: Tally = field(default_factory=Tally)
    accepted_at_s: float = 0.0
    """When it accepted the newest response, by `time.perf_counter`."""
    has_all: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has everything that it was told of."""
    lost: str = ""
    """Why it is connected no longer, though it did not close."""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    _transport: asyncio.Transport | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _data: bytearray = field(default_factory=bytearray)
    _asked: dict[str, set[str]] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)
    _unsent: bytearray = field(default_factory=bytearray)
    """What the control plane has not granted room for yet."""
    _stream_window: int = DEFAULT_WINDOW
    _connection_window: int = DEFAULT_WINDOW
    _first_window: int = DEFAULT_WINDOW

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort()

    def partition(self) -> None:
        """Hear nothing any more, and so say nothing, while the connection stands."""
        assert self._transport is not None
        self._transport.pause_reading()

    def heal(self) -> None:
        """Hear what has come meanwhile."""
        assert self._transport is not None
        self._transport.resume_reading()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_OPENING)
        for url in FIRST_TYPES:
            self._request(url, initial=self.held.get(url, {}))
            if url in NAMED_BY and url in self.held:
                self._ask_by_name(NAMED_BY[url], self.held[url])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self.lost = self.lost or str(exc or "the connection was closed")
            self.has_all.set()

    def data_received(self, data: bytes) -> None:
        self.tally.wire_bytes += len(data)
        self._buffer += data
        at, end = 0, len(self._buffer)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream = head(self._buffer, at)
            stop = at + HEAD_BYTES + (high << 8 | low)
            if stop > end:
                break
            self._take(kind, flags, stream, self._buffer[at + HEAD_BYTES : stop])
            at = stop
        del self._buffer[:at]

    # HTTP/2 and gRPC

    def _take(self, kind: int, flags: int, stream: int, payload: bytearray) -> None:
        if kind == Frame.DATA:
            self._data += payload
            self._take_messages()
        elif kind == Frame.SETTINGS and not flags & Flag.ACK:
            self._heed(payload)
            self._write(SETTINGS_ACK)
            self._send_on()
        elif kind == Frame.WINDOW_UPDATE:
            granted = int.from_bytes(payload, "big")
            if stream:
                self._stream_window += granted
            else:
                self._connection_window += granted
            self._send_on()
        elif kind == Frame.PING and not flags & Flag.ACK:
            self._write(frame(Frame.PING, Flag.ACK, 0, bytes(payload)))
        elif kind in {Frame.GOAWAY, Frame.RST_STREAM} or (
            kind == Frame.HEADERS and flags & Flag.END_STREAM
        ):
            self.lost = "the control plane ended the stream"

    def _heed(self, payload: bytearray) -> None:
        for name, value in parsed_settings(payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._first_window
                self._first_window = value

    def _send_on(self) -> None:
        """Write what there is room for."""
        while room := min(len(self._unsent), self._stream_window, self._connection_window):
            if room < 0:
                return
            part = self._unsent[: min(room, MAX_FRAME_BYTES)]
            del self._unsent[: len(part)]
            self._stream_window -= len(part)
            self._connection_window -= len(part)
            self._write(frame(Frame.DATA, 0, STREAM, bytes(part)))

    def _take_messages(self) -> None:
        while len(self._data) >= GRPC_PREFIX_BYTES:
            stop = GRPC_PREFIX_BYTES + int.from_bytes(self._data[1:GRPC_PREFIX_BYTES], "big")
            if len(self._data) < stop:
                return
            message = bytes(self._data[GRPC_PREFIX_BYTES:stop])
            del self._data[:stop]
            self._accept(DeltaDiscoveryResponse.FromString(message))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # xDS

    def _request(
        self,
        url: str,
        *,
        nonce: str = "",
        names: Sequence[str] = (),
        initial: Mapping[str, str] | None = None,
    ) -> None:
        node = Node(id=self.node_id, cluster="default", user_agent_name="envoy")
        request = DeltaDiscoveryRequest(
            node=node,
            type_url=url,
            response_nonce=nonce,
            resource_names_subscribe=names,
            initial_resource_versions=initial or {},
        )
        self._unsent += framed(request.SerializeToString())
        self._send_on()

    def _accept(self, response: DeltaDiscoveryResponse) -> None:
        url = response.type_url
        self.tally.responses += 1
        self.tally.resources += len(response.resources)
        versions = self.versions.setdefault(url, dict(self.held.get(url, {})))
        versions.update((resource.name, resource.version) for resource in response.resources)
        for name in response.removed_resources:
            versions.pop(name, None)
        self._request(url, nonce=response.nonce)
        self._answered.add(url)
        if url in NAMED_BY:
            self._ask_by_name(NAMED_BY[url], versions)
        self.accepted_at_s = time.perf_counter()
        if self._has_all():
            self.has_all.set()

    def _ask_by_name(self, url: str, named: Mapping[str, str]) -> None:
        # The cluster without servers has none that travel by EDS.
        names = {name for name in named if url != ENDPOINT or name.startswith("pool/")}
        new = names - self._asked.get(url, set())
        if new:
            self._asked.setdefault(url, set()).update(new)
            held = self.held.get(url, {})
            initial = {name: held[name] for name in new if name in held}
            self._request(url, names=sorted(new), initial=initial)

    def _has_all(self) -> bool:
        if not self._answered.issuperset(FIRST_TYPES):
            return False
        return all(
            self._asked.get(url, set()) <= self.versions.get(url, self.held.get(url, {})).keys()
            for url in NAMED_BY.values()
        )


async def crowd(
    address: str, count: int, held: Sequence[Held] = (), *, name: str = "crowd"
) -> list[CrowdMember]:
    """Connect *count* clients to the control plane at *address*, all at once; wait for none.

    *held* are what each has from a connection before, if they had one; *name* begins their ids.
    """
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    members = [
        CrowdMember(f"{name}-{number:05}", held[number] if held else {}) for number in range(count)
    ]
    await asyncio.gather(
        *(loop.create_connection(lambda m=member: m, host, int(port)) for member in members)
    )
    return members
