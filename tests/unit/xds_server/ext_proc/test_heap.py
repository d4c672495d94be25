"""What is freed stays with the process; tried in processes of their own, as it cannot be undone."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Prints how many pages the kernel gave for 100 objects of 1 MB, made and freed one after the other.
PROBE = """
import resource, sys
from xds_server.ext_proc.heap import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    first = bytearray(1_000_000)
    second = bytearray(first)
    third = bytes(second)
for _ in range(5):
    work()
before = faults()
for _ in range(100):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_memory_that_was_freed_is_not_asked_for_again():
    def pages(how: str) -> int:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE, how], capture_output=True, text=True, check=True
        )
        return int(probe.stdout)

    assert pages("kept") < 500
    assert pages("as usual") > 10_000
