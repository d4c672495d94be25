"""Show what each client's key opens, and how a key is changed: `python run.py`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from pathlib import Path

from xds_server.demo.example import Example, running_example
from xds_server.telemetry import configure_logging

REGISTRY = Path(__file__).with_name("registry.yaml")
ASKED = ("small", "tiny", "food-review", "large")
PATIENCE_S = 10.0
UNAUTHORIZED = 401


async def main() -> None:
    keys = {name: secrets.token_hex(24) for name in ("operations", "team-a", "team-b")}
    os.environ["TEAM_B_KEY"] = keys["team-b"]
    files = {f"{name}.key": keys[name] for name in ("operations", "team-a")}
    async with running_example(REGISTRY, files) as example:
        print(f"{'the key of':14}" + "".join(f"{model:>13}" for model in ASKED) + "   /v1/models")
        for name, key in (*keys.items(), ("nobody", secrets.token_hex(24))):
            answers = [await asked(example, key, model) for model in ASKED]
            listed = ", ".join(await models(example, key))
            print(f"{name:14}{''.join(f'{status:>13}' for status in answers)}   {listed}")
        new = secrets.token_hex(24)
        (example.stack.registry.parent / "team-a.key").write_text(new)
        async with asyncio.timeout(PATIENCE_S):
            while await asked(example, new, "small") == UNAUTHORIZED:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        print("\nanother key is written into team-a's file; the registry is not touched")
        print(f"{'the new key':14}{await asked(example, new, 'small'):>13}")
        print(f"{'the old key':14}{await asked(example, keys['team-a'], 'small'):>13}")


async def asked(example: Example, key: str, model: str) -> int:
    """Return the status of a chat with *model*, as OpenAI's libraries send it."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    async with example.session.post("/v1/chat/completions", json=body, headers=headers) as answer:
        return answer.status


async def models(example: Example, key: str) -> list[str]:
    """Return what the list of models shows, asked as Anthropic's libraries do."""
    async with example.session.get("/v1/models", headers={"x-api-key": key}) as answer:
        return [entry["id"] for entry in (await answer.json()).get("data", ())]


if __name__ == "__main__":
    configure_logging("text", logging.ERROR)
    asyncio.run(main())
