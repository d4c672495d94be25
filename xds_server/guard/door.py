"""Who may open an xDS stream, and as which node.

Refusals are said in the log; what the client is told does not help it to guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog

from xds_server.guard.followed import FollowedFiles
from xds_server.guard.identity import allows, names_of
from xds_server.guard.tokens import Tokens, bearer
from xds_server.line_budget import LineBudget

log = structlog.get_logger()

REFUSED_ADVICE = (
    "an Envoy that runs goes on with what it has, one that starts gets nothing; both try again"
)
NAMES_SHOWN = 10

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a stream ends at once: what its client is told."""

    code: grpc.StatusCode
    details: str


@dataclass(slots=True)
class Door:
    """Lets in by certificate, by token, by both where both are wanted, or everybody."""

    certificates: bool = False
    """Whether gRPC has asked for a certificate and checked who signed it."""
    tokens: FollowedFiles[Tokens] | None = None
    _lines: LineBudget = field(default_factory=LineBudget)

    def stranger(self, context: Context) -> Refused | None:
        """Return why *context* is let no further, by what is known before it says a word."""
        if self.tokens is None or self.tokens.value.holds(_token(context)):
            return None
        shown = "shows a token that is none of --token-file" if _token(context) else "has no token"
        self.tell("token", context, f"it {shown}")
        return Refused(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")

    def impostor(self, context: Context, node_id: str) -> Refused | None:
        """Return why *context* may not be the node *node_id*."""
        if not self.certificates:
            return None
        names = _names(context.auth_context())
        if allows(names, node_id):
            return None
        told = ", ".join(names[:NAMES_SHOWN]) or "no DNS name and no URI"
        self.tell("node id", context, f"its certificate has {told}", node_id=node_id[:200])
        return Refused(
            grpc.StatusCode.PERMISSION_DENIED,
            "the certificate does not allow this node id: no DNS name or URI of it is equal",
        )

    def tell(self, kind: str, context: Context, reason: str, **more: object) -> None:
        """Log a refusal of a fixed *kind*, unless there were too many of it."""
        left_out = self._lines.take(kind)
        if left_out is None:
            return
        log.warning(
            "xds.stream.refused",
            peer=context.peer(),
            reason=reason,
            consequence=REFUSED_ADVICE,
            left_out=left_out,
            **more,
        )


def _token(context: Context) -> str:
    metadata: Iterable[tuple[str, str | bytes]] = context.invocation_metadata() or ()
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            return bearer(value)
    return ""


def _names(authenticated: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Return the names that the peer's certificate spells."""
    for certificate in authenticated.get("x509_pem_cert", ()):
        return names_of(certificate)
    return ()
