"""The certificate that the control plane shows, and the authorities that it trusts.

Who it is that shows a certificate in return: see `xds_server.guard.identity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from snapshots.material import Form
from xds_server.guard.followed import FollowedFiles
from xds_server.secrets.judge import judge, judge_pair, now_utc
from xds_server.secrets.problems import Fault


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files, in PEM, by which xDS speaks TLS."""

    certificate: Path
    """That of the control plane, its authorities after it."""
    key: Path
    client_ca: Path | None
    """The authorities of the Envoys' certificates; None: no certificate is asked for."""


class ServerCertificates:
    """Credentials of a gRPC server that change with the files; streams that are open go on."""

    def __init__(self, files: TlsFiles) -> None:
        self._asks = files.client_ca is not None
        paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
        self.files = FollowedFiles(paths, lambda contents: _configuration(paths, contents))
        self._shown = 0

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials, once the files have been loaded."""
        self._shown = self.files.version
        return grpc.dynamic_ssl_server_credentials(self.files.value, self._newer, self._asks)

    def _newer(self) -> Any:  # noqa: ANN401 - None is for no change, of which the stubs know nothing
        """Return what new connections are to get, if it changed; gRPC asks at each of them."""
        if self._shown == self.files.version:
            return None
        self._shown = self.files.version
        return self.files.value


def _configuration(
    paths: Sequence[Path], contents: Sequence[bytes]
) -> grpc.ServerCertificateConfiguration | Fault:
    forms: tuple[Form, ...] = ("certificate", "key", "authorities")
    now = now_utc()
    for path, content, form in zip(paths, contents, forms, strict=False):
        if fault := judge(form, content, now):
            return Fault(f"{path}: {fault.message}", fault.hint)
    certificate, key = contents[:2]
    if fault := judge_pair(certificate, key, "--tls-cert"):
        return Fault(f"{paths[1]}: {fault.message}", fault.hint)
    authorities = contents[2] if len(contents) > 2 else None  # noqa: PLR2004 - the third form
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authorities)
