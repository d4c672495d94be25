"""`modelyard plan` against a control plane, both as processes."""

from __future__ import annotations

import json

import aiohttp

from tests.support import command
from tests.support.serve_process import serving

DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
REGISTRY = """\
version: 1
pools:
  a: {endpoints: [10.0.0.1:8000]}
  b: {endpoints: [10.0.0.2:8000]}
models:
  auto: {split: {a: 70, b: 30}}
"""
AUTH = f"auth: {{clients: {{team: {{key_sha256: {DIGEST}}}}}}}\n"


async def test_a_file_is_compared_with_what_is_served(tmp_path):
    served, new = tmp_path / "registry.yaml", tmp_path / "new.yaml"
    served.write_text(REGISTRY)
    new.write_text(REGISTRY.replace("a: 70", "a: 60"))

    async with serving(served) as serve:
        same = await command.run("plan", served, "--status-url", serve.status_url, "--exit-code")
        edit = await command.run(
            "plan", new, "--exit-code", "--json", MODELYARD_STATUS_URL=serve.status_url
        )

    assert (same.code, same.stdout, same.stderr) == (0, "nothing changes\n", "")
    assert edit.code == 2
    told = json.loads(edit.stdout)
    assert told["revision"] == serve.revision
    assert told["entries"][0]["fields"] == [
        {"field": "split.a", "what": "changed", "before": "70", "after": "60"}
    ]
    assert told["notes"] == []


async def test_nothing_of_a_key_leaves_the_control_plane(tmp_path):
    served = tmp_path / "registry.yaml"
    served.write_text(REGISTRY + AUTH)

    async with serving(served) as serve:
        async with aiohttp.ClientSession() as session:
            pages = [
                await (await session.get(f"{serve.status_url}{path}")).text()
                for path in ("/", "/status", "/registry", "/metrics")
            ]
        same = await command.run("plan", served, "--status-url", serve.status_url, "--exit-code")

    assert all(DIGEST not in page for page in pages)
    assert '"team"' in pages[2]
    assert same.code == 0
    assert same.stdout.startswith("nothing changes\nnote: a control plane does not tell digests")


async def test_what_is_no_control_plane_is_told(tmp_path):
    new = tmp_path / "new.yaml"
    new.write_text(REGISTRY)

    ended = await command.run("plan", new, "--status-url", "http://127.0.0.1:1")

    assert ended.code == 1
    assert "does not answer" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_request_is_explained_by_what_is_served(tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    (tmp_path / "key").write_text(key)
    served = tmp_path / "registry.yaml"
    served.write_text(
        REGISTRY.replace("}}", "}, sticky: {header: x-user}}")
        + "auth: {clients: {team: {key_file: key}}}\n"
    )

    async with serving(served) as serve:
        url = ("--status-url", serve.status_url)
        asked = ("--model", "auto", "--user", "alice", "--json")
        good = await command.run("explain", *url, *asked, MODELYARD_KEY=key)
        bad = await command.run("explain", *url, *asked, MODELYARD_KEY="1" + key)

    told = json.loads(good.stdout)
    assert (good.code, good.stderr) == (0, "")
    assert told["revision"] == serve.revision
    assert told["why"][0].startswith("its key is that of the client team,")
    assert told["user_pool"] in {"a", "b"}
    assert bad.code == 1
    assert json.loads(bad.stdout)["notes"] == ["no client has the key that it shows"]
