"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.support.static_envoy import envoy_binary

PACKAGES = ("grpcio", "protobuf", "envoy-data-plane", "pydantic", "pyyaml", "watchfiles")


def describe() -> Iterator[tuple[str, str]]:
    """Yield names and values: hardware, system, versions."""
    yield "processor", f"{_processor()}, {os.cpu_count()} cores"
    yield "memory", f"{_memory_gib():.0f} GiB"
    yield "system", f"{platform.system()} {platform.release()}"
    yield "load average at the start", " ".join(f"{load:.1f}" for load in os.getloadavg())
    yield "Python", platform.python_version()
    yield "Envoy", _envoy_version()
    yield "packages", ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _envoy_version() -> str:
    command = [envoy_binary(), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
    return answer.strip().rpartition(": ")[2].split("/")[1]
