"""The process that `coverage` starts: atheris, with its own arguments."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["xds_server.ext_proc"]):
    from tests.fuzz.coverage import mutant
    from tests.fuzz.extraction import check, companion


def try_one(written: bytes) -> None:
    check(mutant(written), {"the companion": companion})


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
