"""One corpus of bodies through both modes of extraction: the same answer, and the same request.

What differs all the same is in the table of `tests.support.mode_differences`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
import yaml

from tests.support.corpus import CASES, SERVED, Case, large_cases
from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import http1_client, whole
from tests.support.modes import MODES, both_modes

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TARGET = "org/target:1"
POOLS = ("even", "odd")
ARRANGEMENTS: dict[str, Mapping[str, object]] = {
    "renamed": {"model": TARGET},
    "as they are": {},
    "adapters": {"model": TARGET},
    "aliases": {"model": TARGET},
}
"""How the names of the corpus stand in the registry, and what its pools have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client can tell from its answer, and what the server saw."""

    status: int
    content_type: str
    code: str | None = None
    param: str | None = None
    pool: str | None = None
    model: str | None = None
    base_model: str | None = None
    path: str | None = None
    seen_type: str | None = None
    seen_length: str | None = None
    body_sha256: str | None = None


def registry(arrangement: str) -> str:
    """Return the template of a registry in which every name of the corpus is routed."""
    extra = ARRANGEMENTS[arrangement]
    names = {pool: list(SERVED[i::2]) for i, pool in enumerate(POOLS)}
    pools = {pool: {"endpoints": ["<echo>"], **extra} for pool in POOLS}
    models: dict[str, object] = {f"base {pool}": {"pool": pool} for pool in POOLS}
    for pool in POOLS:
        if arrangement == "adapters":
            pools[pool]["adapters"] = names[pool]
        elif arrangement == "aliases":
            models[f"base {pool}"] = {"pool": pool, "aliases": names[pool]}
        else:
            models |= {name: {"pool": pool} for name in names[pool]}
    document = {"pools": pools, "models": models, "extraction": {"mode": "<mode>"}}
    return "version: 1\n" + yaml.safe_dump(document, allow_unicode=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ARRANGEMENTS)
async def arranged(request, tmp_path_factory):
    """Run a deployment per mode, and tell how the names stand."""
    folder = tmp_path_factory.mktemp("deployment")
    async with both_modes(registry(request.param), folder) as running:
        yield request.param, running


async def outcome(deployed: Deployment, case: Case) -> tuple[Outcome, Answer]:
    """Send *case* as it is written."""
    headers = [f"{name}: {value}" for name, value in case.media_headers.items()]
    async with http1_client(deployed.gateway) as client:
        client.write(whole(case.body, case.method, case.path, headers=headers))
        answer = await client.answer(case.method)
    content_type = answer.headers["content-type"]
    if answer.server is None:
        error = answer.error
        return Outcome(answer.status, content_type, error["code"], error["param"]), answer
    seen = answer.seen["headers"]
    told = Outcome(
        answer.status,
        content_type,
        pool=answer.pool,
        model=seen.get("x-gateway-model-name"),
        base_model=seen.get("x-gateway-base-model-name"),
        path=answer.seen["path"],
        seen_type=seen.get("content-type"),
        seen_length=seen.get("content-length"),
        body_sha256=answer.seen["body_sha256"],
    )
    return told, answer


def wrong(case: Case, told: Outcome, answer: Answer, arrangement: str) -> str:
    """Return what is wrong with one answer, or an empty text."""
    if not case.allows(told.model, told.code):
        return f"told {told.code or told.model}"
    if told.code is not None:
        return ""
    if told.status != 200 or told.pool != POOLS[SERVED.index(told.model) % 2]:
        return f"told {told.status} by {told.pool}"
    arrived = is_kept if arrangement in ("as they are", "adapters") else is_renamed
    return "" if arrived(case, answer) else f"the server saw {answer.seen}"


def is_kept(case: Case, answer: Answer) -> bool:
    """Tell whether the server saw the body of *case* to the byte."""
    return answer.seen["body_sha256"] == hashlib.sha256(case.body).hexdigest()


def is_renamed(case: Case, answer: Answer) -> bool:
    """Tell whether the server saw the body of *case* with another name and nothing else changed.

    A large one is not told byte by byte, and a deep one cannot be read here: that both modes
    agree on it says enough.
    """
    too_deep = case.code is not None
    if answer.seen["body"] is None or too_deep:
        return True
    with deep_recursion():
        return _is_renamed(case, answer.seen["body"].encode("latin-1"))


def _is_renamed(case: Case, body: bytes) -> bool:
    if is_form(case):
        return body.replace(TARGET.encode(), case.model.encode()) == case.body
    members = [(k, TARGET if k == "model" else value) for k, value in members_of(case.body)]
    return repr(members_of(body)) == repr(members)  # not ==: NaN is unlike itself


def is_form(case: Case) -> bool:
    return case.content_type.partition(";")[0].strip().lower() == "multipart/form-data"


@contextmanager
def deep_recursion():
    """Let Python's own functions go as deep as the corpus does."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def members_of(body: bytes) -> list[tuple[str, object]]:
    return json.loads(body, object_pairs_hook=list)


async def complaints(
    arrangement: str, running: Mapping[str, Deployment], cases: Iterable[Case]
) -> list[str]:
    """Send *cases* in both modes; return what is wrong, a line per case."""
    found = []
    for case in cases:
        told, lines = {}, []
        for mode in MODES:
            told[mode], answer = await outcome(running[mode], case)
            said = wrong(case, told[mode], answer, arrangement)
            lines += [f"{mode}: {said}"] if said else []
        may_differ = case.model is not None and case.code is not None
        if not lines and not may_differ and told["ext_proc"] != told["native"]:
            lines.append(f"{told['ext_proc']} but {told['native']}")
        found += [f"{case.name}: {line}" for line in lines]
    return found


FORMS = tuple(case for case in CASES if is_form(case))
REFUSED = tuple(case for case in CASES if case not in FORMS and case.model is None)
ACCEPTED = tuple(case for case in CASES if case not in FORMS and case.model is not None)


@pytest.mark.parametrize("cases", [FORMS, ACCEPTED, REFUSED], ids=["forms", "names", "refusals"])
async def test_both_modes_say_the_same_of_every_body(arranged, cases):
    arrangement, running = arranged

    found = await complaints(arrangement, running, cases)

    assert cases
    assert not found, "\n".join(found)


@pytest.mark.parametrize("arranged", ["renamed"], indirect=True)
async def test_both_modes_say_the_same_of_large_bodies(arranged):
    arrangement, running = arranged

    found = await complaints(arrangement, running, large_cases())

    assert not found, "\n".join(found)
