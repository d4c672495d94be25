"""Responses as bytes: what many streams are sent is encoded once.

A response differs from stream to stream by its nonce only, and the fields of a protobuf message may
come in any order: so the nonce is put behind the rest.

Source: "Encoding" of protobuf's documentation; discovery.proto of the xDS API.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeVar

from google.protobuf.message import Message

from xds_server.protocol.events import DeltaResponse, SotwResponse

MAX_KEPT_BYTES = 4 * 2**20
"""Of responses that were sent last; those to an Envoy that connects are a few megabytes."""
NONCE_TAG = b"\x2a"
"""Field 5, of a length that follows: in both variants."""

ResponseT = TypeVar("ResponseT", DeltaResponse, SotwResponse)


class Encoder:
    """Encodes responses, and remembers those that others may be sent too."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._kept_bytes = 0

    def encode(self, response: ResponseT, write: Callable[[ResponseT], Message]) -> bytes:
        """Return *response* as bytes; *write* makes a message of it."""
        nonce = response.nonce.encode()
        # The version of a resource stands for its name and its body.
        versions = tuple([resource.version for resource in response.resources])
        key = (replace(response, nonce="", resources=()), versions)
        body = self._kept.get(key)
        if body is None:
            body = write(replace(response, nonce="")).SerializeToString()
            self._keep(key, body)
        else:
            self._kept.move_to_end(key)
        return b"".join((body, NONCE_TAG, len(nonce).to_bytes(1, "big"), nonce))

    def _keep(self, key: Hashable, body: bytes) -> None:
        self._kept[key] = body
        self._kept_bytes += len(body)
        while self._kept_bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)
