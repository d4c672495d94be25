"""What reading the model's name costs: the companion and the native script beside `json.loads`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from tests.benchmarks.figures import significant
from tests.benchmarks.report import Section, Table
from tests.support import corpus, extraction_script
from tests.support.corpus_multipart import FORM
from xds_server.ext_proc.model_name import model_name

METHOD = """\
One body after the other, in one process and without a network: by the companion's extraction, by
`json.loads` of the same bytes (which sees no repeated key, and accepts UTF-16 and more), by the
script of the native extraction in the LuaJIT that tests use (passing the body to it included), and
by `bytes.count` of `"model"`, below which no scanner in Python can be. In turn, {rounds} times, and
the median of each, in microseconds. *Messages* have about 100 bytes each, and are as much work as
bodies usually are; an *image* or *audio* is one long string."""

SIZES = {"1 KB": 1000, "100 KB": 100_000, "1 MB": 1_000_000, "15 MB": 15_000_000}
ROUNDS = 15
BATCH_S = 0.005
"""What takes less is done several times for one measurement."""

Body = Callable[..., bytes]
KINDS: dict[str, tuple[Body, str]] = {
    "messages": (corpus.chat_with_messages, "application/json"),
    "image": (corpus.chat_with_image, "application/json"),
    "audio form": (corpus.form_with_audio, FORM),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A body, and what to call it."""

    size: str
    kind: str
    model_first: bool

    def read(self) -> tuple[bytes, str]:
        """Return the bytes and their content-type."""
        build, content_type = KINDS[self.kind]
        return build(SIZES[self.size], model_first=self.model_first), content_type


async def run(*, quick: bool) -> Section:
    sizes = ("1 KB", "100 KB") if quick else tuple(SIZES)
    rounds = 2 if quick else ROUNDS
    subjects = [Subject(s, k, first) for s in sizes for k in KINDS for first in (True, False)]
    return Section(
        title="Reading the model's name",
        method=METHOD.format(rounds=rounds),
        tables=[
            Table(
                (
                    *("body", "of", "model", "companion, µs", "json.loads, µs", "of json.loads"),
                    *("script, µs", "of companion", "count, µs", "of companion"),
                ),
                [_row(subject, rounds) for subject in subjects],
            )
        ],
        remarks=[
            "Where the model stands makes no difference: a body is read to its end, so that what "
            "is cut short or malformed behind the name is refused, too.",
            "The companion lets the parser of `json` drop each nested object as it ends. A scanner "
            "could only gain where *count* takes much less, and would have to be as strict.",
        ],
    )


def _row(subject: Subject, rounds: int) -> Sequence[str]:
    body, content_type = subject.read()
    ways: dict[str, Callable[[], object]] = {
        "companion": lambda: model_name(body, content_type.encode()),
        "count": lambda: body.count(b'"model"'),
        "script": lambda: extraction_script.extract(body, content_type),
    }
    if subject.kind != "audio form":
        ways["json.loads"] = lambda: json.loads(body)
    times = _medians(ways, rounds)
    loads = times.get("json.loads")
    return (
        subject.size,
        subject.kind,
        "first" if subject.model_first else "last",
        significant(times["companion"] * 1e6),
        significant(loads * 1e6) if loads else "",
        significant(times["companion"] / loads) if loads else "",
        significant(times["script"] * 1e6),
        significant(times["script"] / times["companion"]),
        significant(times["count"] * 1e6),
        significant(times["count"] / times["companion"]),
    )


def _medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the seconds that each of *ways* takes."""
    counts = {name: max(1, int(BATCH_S / _seconds(way, 1))) for name, way in ways.items()}
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            measured[name].append(_seconds(way, counts[name]))
    return {name: median(values) for name, values in measured.items()}


def _seconds(way: Callable[[], object], count: int) -> float:
    started = perf_counter()
    for _ in range(count):
        way()
    return (perf_counter() - started) / count
