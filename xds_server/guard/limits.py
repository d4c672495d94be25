"""What one client of the xDS port may take: every limit, each with its reason.

An Envoy that is as it should be comes near none of them, at 10,000 models neither.
docs/operations.md has them as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import grpc

GRPC_MESSAGE_BYTES: Final = 16 * 2**20
"""gRPC itself ends a stream whose message is larger, in words of its own and without a line here;
what is between this and `Limits.request_bytes` is refused with both."""
READ_AHEAD_BYTES: Final = 256 * 1024
"""What gRPC takes of a stream before it is asked for; of the message that is being read, all."""
STREAMS_PER_CONNECTION: Final = 100
"""An Envoy has one of xDS, and one of load reports; gRPC makes the next ones wait."""
HANDSHAKE_MS: Final = 30_000
"""Until TLS and the settings of HTTP/2 have been exchanged; gRPC's own value is two minutes."""
IDLE_CONNECTION_MS: Final = 60_000
"""How long a connection stays without a stream: Envoy opens its stream at once."""
KEEPALIVE_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
"""An Envoy that answers no ping is gone, or reads nothing: what waits for it is freed."""

READ_ERROR_CHARACTERS: Final = 64 * 1024
"""How much of an `error_detail` is searched for names of resources; there may be thousands."""
KEPT_ERROR_CHARACTERS: Final = 4 * 1024
"""How much of it is kept for each node, logged, and shown in the status."""
KEPT_VERSION_CHARACTERS: Final = 64
"""How much of the version that an Envoy tells is shown."""


class Limit(Enum):
    """What was exceeded; the values are labels of a metric."""

    STREAMS = "streams"
    NODE_STREAMS = "streams_of_node"
    SILENCE = "silence"
    MALFORMED = "malformed"
    REQUEST_BYTES = "request_bytes"
    REQUESTS = "requests"
    NODE = "node"
    TYPES = "types"
    NAMES = "names"


class LimitError(Exception):
    """A client went beyond *limit*; the message is the sentence that it is told."""

    def __init__(
        self,
        limit: Limit,
        sentence: str,
        code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED,
    ) -> None:
        super().__init__(sentence)
        self.limit, self.sentence, self.code = limit, sentence, code

    @classmethod
    def malformed(cls, sentence: str) -> LimitError:
        """Return the error of a request that nobody may make, however small."""
        return cls(Limit.MALFORMED, sentence, grpc.StatusCode.INVALID_ARGUMENT)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that we keep ourselves."""

    streams: int = 10_000
    """Open at once; as many nodes are remembered. The only one that an operator may have to
    change (`--max-streams`): a stream holds 50 KB and more."""
    streams_per_node: int = 16
    """An Envoy has one, and a second one for the moment in which it reconnects. More of them have
    the same node id by mistake, or one of them opens streams and forgets them."""
    first_request_s: float = 60.0
    """Until it must be there. Envoy sends it with the stream; thousands that come at once are read
    in less than a minute."""
    request_bytes: int = 8 * 2**20
    """At 10,000 models the largest request, by which a delta Envoy reconnects and tells what it
    holds, has half a megabyte."""
    characters: int = 1_024
    """Of a type URL, a name, a version, a nonce, an id of a node: the longest name that a registry
    can make has less than a third."""
    metadata_bytes: int = 16 * 1024
    """Of `node.metadata`. It is not cut: a gateway is chosen by its texts, and a part of them
    might choose another one."""
    types: int = 256
    """That one stream may ask for: Envoy has about twenty."""
    names: int = 100_000
    """That one stream may subscribe to, and say that it holds; or `names_per_resource` times as
    many as there are resources, if that is more."""
    names_per_resource: int = 4
    requests: int = 30_000
    """That a node may send at once without being asked, answers to responses not counted. State
    of the world may ask once for each of 10,000 clusters."""
    requests_per_s: float = 500.0
    """What comes back of `requests` each second. One that has none left floods."""
    request_unit_bytes: int = 64 * 1024
    """A request counts once more for each of these."""
    work_s: float = 5.0
    """How long the one loop may work for a node at once, before its requests are left to wait."""
    work_share: float = 0.2
    """What share of the loop a node has from then on: four fifths stay for the others."""
    open_work_s: float = 0.002
    """What opening a stream counts as work, beside its requests."""

    def names_among(self, count_resources: Callable[[], int], asked: int) -> bool:
        """Tell whether *asked* names are within the limit."""
        return asked <= self.names or asked <= self.names_per_resource * count_resources()

    def check_texts(self, what: str, texts: Iterable[str]) -> None:
        """Raise LimitError if one of *texts* is longer than a text may be."""
        longest = max(map(len, texts), default=0)
        if longest > self.characters:
            raise LimitError(
                Limit.NAMES, f"{what} can have {self.characters} characters, this has {longest}"
            )
