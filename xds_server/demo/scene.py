"""The deployment that the demo shows: three servers, two pools, four models, in one file."""

from __future__ import annotations

from pathlib import Path

from xds_server.address import Address

SERVERS = ("llama-1b-a", "llama-1b-b", "llama-3b-a")
POOL_OF = {"llama-1b-a": "llama-1b", "llama-1b-b": "llama-1b", "llama-3b-a": "llama-3b"}

TEMPLATE = """\
version: 1
gateways:
  default: {{listen: "{gateway}"}}
pools:
  llama-1b:
    endpoints: ["{llama-1b-a}", "{llama-1b-b}"]
    model: meta-llama/Llama-3.2-1B-Instruct
    adapters: [food-review]
  llama-3b:
    endpoints: ["{llama-3b-a}"]
models:
  llama-3-2-1b:
    pool: llama-1b
    aliases: [small]
    paths: [/v1/1b]
  llama-3-2-3b:
    pool: llama-3b
  auto:
    split: {{llama-1b: 70, llama-3b: 30}}
"""

ASKED = (
    ("llama-3-2-1b", "a model"),
    ("small", "its alias"),
    ("food-review", "a LoRA adapter"),
    ("llama-3-2-3b", "a model"),
    ("auto", "a split"),
)
"""What is asked for in the body, and what it is in the file."""
UNKNOWN = "gpt-5"
PATH = "/v1/1b"

SPLIT_BEFORE = "split: {llama-1b: 70, llama-3b: 30}"
SPLIT_AFTER = "split: {llama-1b: 0, llama-3b: 100}"
SPLIT_WRONG = "split: {llama-1b: 0, lama-3b: 100}"


def write_registry(path: Path, gateway: Address, servers: dict[str, str]) -> None:
    """Write the demo's registry to *path*; *servers* gives the address of each of `SERVERS`."""
    path.write_text(TEMPLATE.format_map({"gateway": str(gateway), **servers}))


def edit(path: Path, old: str, new: str) -> None:
    """Replace *old* by *new* in the file, as an editor would on saving."""
    text = path.read_text()
    if old not in text:
        raise ValueError(f"{path} does not hold {old!r}")
    path.write_text(text.replace(old, new))
