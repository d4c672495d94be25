"""The extractions, the companion's and the native one, against a second reading of the rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from tests.fuzz.mutations import Mutant, Mutator
from tests.fuzz.oracle import Answer, answer, is_deep
from tests.support.extraction_script import extract
from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import model_name

Reader = Callable[[Mutant], Answer]


class DisagreementError(Exception):
    """A reader breaks the rule; the message shows the smallest body found on which it does."""


def companion(mutant: Mutant) -> Answer:
    """Return what the companion says; nothing but ModelNameError may come out of it."""
    try:
        return Answer(model=model_name(mutant.body, mutant.content_type))
    except ModelNameError as error:
        return Answer(code=error.code)


def script(mutant: Mutant) -> Answer:
    """Return what the script inside Envoy says, run by LuaJIT."""
    verdict = extract(mutant.body or None, mutant.content_type.decode())
    return Answer(verdict.name, verdict.code)


READERS: Mapping[str, Reader] = {"the companion": companion, "the script": script}


def check(mutant: Mutant, readers: Mapping[str, Reader] = READERS) -> Answer:
    """Return what must be said of *mutant*, or raise DisagreementError if a reader says other."""
    expected = answer(mutant.body, mutant.content_type)
    for name, reader in readers.items():
        if not _is_right(reader(mutant), expected, mutant):
            small = smallest(mutant, reader)
            raise DisagreementError(
                f"{small.body!r} as {small.content_type!r}: {name} says {reader(small)},"
                f" the rule {answer(small.body, small.content_type)}"
            )
    return expected


def _is_right(found: Answer, expected: Answer, mutant: Mutant) -> bool:
    refused = Answer(code="invalid_json")
    return found == expected or (refused in {found, expected} and is_deep(mutant.body))


def run(count: int, seed: int, readers: Mapping[str, Reader] = READERS) -> Counter[str]:
    """Check *count* mutants; return how many must have each answer."""
    mutator = Mutator(seed)
    answers: Counter[str] = Counter()
    for _ in range(count):
        answers[check(mutator.mutant(), readers).code or "a model"] += 1
    return answers


def smallest(mutant: Mutant, reader: Reader) -> Mutant:
    """Return *mutant* less whatever can be left out of its body while *reader* is wrong."""
    body = mutant.body
    length = len(body) // 2
    while length:
        at = 0
        while at < len(body):
            shorter = Mutant(body[:at] + body[at + length :], mutant.content_type)
            expected = answer(shorter.body, shorter.content_type)
            if _is_right(reader(shorter), expected, shorter):
                at += length
            else:
                body = shorter.body
        length //= 2
    return Mutant(body, mutant.content_type, mutant.path)
