"""Waiting until new servers have passed a health check, as seen from here.

Every Envoy checks them too, and begins before this does. It does not tell the result: that ours
was good is the best sign there is that theirs was.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import aiohttp
import structlog

from snapshots.warm_up import FirstCheck
from xds_server.address import Address

log = structlog.get_logger()

LONGEST_WAIT_S = 5.0
HEAD_START_S = 0.2
"""For Envoys to have been told of the servers, and for their checks after ours was good."""
PAUSE_S = 0.1


async def first_checks_pass(checks: Iterable[FirstCheck]) -> None:
    """Return once all *checks* were good, or after 5 s: what is dead then was meant to be used."""
    to_make = {_url(check): check for check in checks}
    servers = list(to_make)
    try:
        async with asyncio.timeout(LONGEST_WAIT_S), aiohttp.ClientSession() as session:
            await asyncio.gather(*(_passes(session, *check) for check in to_make.items()))
            await asyncio.sleep(HEAD_START_S)
    except TimeoutError:
        log.warning("snapshot.servers.unhealthy", servers=servers, waited_s=LONGEST_WAIT_S)
    except Exception:  # a defect of ours must not keep the edit from being completed
        log.exception("snapshot.servers.unchecked", servers=servers)


def _url(check: FirstCheck) -> str:
    scheme = "https" if check.tls else "http"
    return f"{scheme}://{Address(check.host, check.port)}{check.path}"


async def _passes(session: aiohttp.ClientSession, url: str, check: FirstCheck) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            if check.http2:  # nothing here speaks it: that it listens has to do
                _, writer = await asyncio.open_connection(check.host, check.port)
                writer.close()
                return
            # Whether its certificate is good is for Envoy to say.
            async with session.get(url, allow_redirects=False, ssl=False) as response:
                if response.status == check.status:
                    return
        await asyncio.sleep(PAUSE_S)
