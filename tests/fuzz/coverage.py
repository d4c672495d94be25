"""Bodies that atheris makes, led by which lines of the companion's extraction they reach.

Atheris is no dependency: where it is not installed, this is skipped, and says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.extraction import DisagreementError
from tests.fuzz.mutations import SEEDS, Mutant
from tests.support.corpus_multipart import FORM

MAX_BYTES = 4096


def run(count: int, seed: int) -> str:
    """Try *count* bodies in a process of its own; return what came of it."""
    if importlib.util.find_spec("atheris") is None:
        return f"skipped: atheris is not installed for Python {sys.version.split()[0]}"
    with tempfile.TemporaryDirectory() as folder:
        for mutant in SEEDS:
            written = _written(mutant)
            Path(folder, hashlib.sha256(written).hexdigest()).write_bytes(written)
        limits = [f"-runs={count}", f"-seed={seed % 2**31 or 1}", f"-max_len={MAX_BYTES}"]
        where = [f"-artifact_prefix={tempfile.gettempdir()}/", "-print_final_stats=1", folder]
        command = [sys.executable, "-m", "tests.fuzz.guided", *limits, *where]
        finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        raise DisagreementError(f"{finished.stdout[-3000:]}\n{finished.stderr[-3000:]}")
    executed = next(line for line in finished.stderr.splitlines() if "executed_units" in line)
    return f"{int(executed.split()[-1]):,} bodies, each read by the rule"


def mutant(written: bytes) -> Mutant:
    """Return what *written* stands for: the last byte tells how the body is to be read."""
    body, kind = written[:-1], written[-1:]
    return Mutant(body, FORM.encode() if kind == b"f" else b"application/json")


def _written(seed: Mutant) -> bytes:
    return seed.body + (b"f" if seed.content_type.startswith(b"multipart") else b"j")
