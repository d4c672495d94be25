"""Damaged bodies through a real Envoy in both modes of extraction.

Each must be answered in time, without a 5xx, alike in both modes, and as the rule says; and a body
that is routed must reach the server as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from tests.fuzz.mutations import Mutant, Mutator
from tests.fuzz.oracle import Answer as Expected
from tests.fuzz.oracle import answer, is_deep
from tests.support.corpus import SERVED
from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import Http1Client, http1_client, whole
from tests.support.modes import MODES, both_modes
from xds_server.address import Address

CONNECTIONS = 4
ROUTED = frozenset({*SERVED, "other"})


class GatewayError(Exception):
    """Requests were answered otherwise than they must be; the message has a line for each."""


def registry() -> str:
    """Return the template of a registry that routes what the corpus asks for."""
    document = {
        "pools": {"all": {"endpoints": ["<echo>"]}},
        "models": {name: {"pool": "all"} for name in sorted(ROUTED)},
        "extraction": {"mode": "<mode>"},
    }
    return "version: 1\n" + yaml.safe_dump(document, allow_unicode=True)


async def run(count: int, seed: int, folder: Path) -> Counter[str]:
    """Send *count* mutants in both modes; return how many were answered in which way."""
    mutator, answers = Mutator(seed), Counter[str]()
    mutants = (mutator.mutant() for _ in range(count))
    complaints: list[str] = []
    async with both_modes(registry(), folder) as running, asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(_send_all(running, mutants, answers, complaints))
    if complaints:
        raise GatewayError("\n".join(complaints))
    return answers


async def _send_all(
    running: Mapping[str, Deployment],
    mutants: Iterator[Mutant],
    answers: Counter[str],
    complaints: list[str],
) -> None:
    async with AsyncExitStack() as stack:
        connections = {
            mode: await stack.enter_async_context(_Connection(deployed.gateway))
            for mode, deployed in running.items()
        }
        for mutant in mutants:
            try:
                got = [await connections[mode].answer(mutant) for mode in MODES]
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                complaints.append(f"{mutant}: {error!r}")
                return  # what else comes on this connection may belong to another request
            complaints += [f"{mutant}: {line}" for line in _complaints(mutant, got)]
            answers[_told(got[0]).code or "a model"] += 1


class _Connection(AsyncExitStack):
    """A connection to one gateway, and the next one where the gateway closes it."""

    def __init__(self, gateway: Address) -> None:
        super().__init__()
        self._gateway = gateway
        self._client: Http1Client | None = None

    async def answer(self, mutant: Mutant) -> Answer:
        client = self._client or await self.enter_async_context(http1_client(self._gateway))
        headers = [f"content-type: {mutant.content_type.decode()}"] if mutant.content_type else []
        await client.send(whole(mutant.body, path=mutant.path, headers=headers))
        answer = await client.answer()
        self._client = client
        if answer.headers.get("connection") == "close":
            self._client = None
            await self.aclose()
        return answer


def _complaints(mutant: Mutant, got: list[Answer]) -> Iterator[str]:
    """Yield what is wrong with the answers to *mutant*, in the order of the modes."""
    expected = answer(mutant.body, mutant.content_type)
    if expected.model not in {None, *ROUTED}:
        expected = Expected(code="model_not_found")
    told = [_told(each) for each in got]
    for mode, each, said in zip(MODES, got, told, strict=True):
        if each.status >= 500:
            yield f"{mode} answers {each.status} {each.body!r}"
        elif said != expected and not is_deep(mutant.body):
            yield f"{mode} answers {each.status} {said}, the rule says {expected}"
        elif said.model and each.seen["body_sha256"] != hashlib.sha256(mutant.body).hexdigest():
            yield f"{mode} let the server see {each.seen}"
    if (got[0].status, told[0]) != (got[1].status, told[1]) and not is_deep(mutant.body):
        yield f"{MODES[0]} answers {got[0].status} {told[0]}, {MODES[1]} {got[1].status} {told[1]}"


def _told(got: Answer) -> Expected:
    if got.server is not None:
        return Expected(model=got.seen["headers"].get("x-gateway-model-name"))
    return Expected(code=got.error["code"] if got.json else f"no JSON, {got.status}")
