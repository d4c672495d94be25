"""Names that are hard to carry: each is routed, rewritten to, listed and told in headers."""

import json

import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

NAMES = [
    "модель/ü",
    "模型",
    "😀",
    "e\u0301",
    "é",
    "100%",
    "%",
    "%REQ(host)%",
    "%%",
    "%41",
    "org/model:tag",
    "org/sub/model@sha256:0af",
    "1",
    "1.0",
    "true",
    "null",
    "~",
    "two words",
    'say "hello"',
    "it's",
    "back\\slash",
    "\\n",
    "a,b",
    "a;b=c",
    "{braces}",
    "[brackets]",
    "#hash",
    "?query=1&x",
    "a+b",
    "<tag>&amp;",
    "$(x) `y` ${z}",
    "no-model",
    "model/no-model",
    "-x",
    "--",
    ".",
    "..",
    "/",
    "a" * 256,
    "ü" * 128,
    "A",
    "a",
]


def registry(mode: str) -> str:
    pools = {
        f"{name} pool"[:250] if len(name) < 100 else f"long-{i}": {
            "endpoints": ["<server>"],
            "model": name,
            "adapters": [f"lora {name}"] if len(name) < 100 else [],
        }
        for i, name in enumerate(NAMES)
    }
    models = {name: {"pool": pool} for name, pool in zip(NAMES, pools, strict=True)}
    return "version: 1\n" + "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in (
            ("pools", pools),
            ("models", models),
            ("extraction", {"mode": mode}),
        )
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ext_proc", "native"])
async def deployed(request, variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    async with deployment(registry(request.param), ("server",), folder, variant) as running:
        yield running


def utf8(header: str) -> str:
    """Return *header* as the text it is; aiohttp shows bytes outside ASCII as surrogates."""
    return header.encode("utf-8", "surrogateescape").decode()


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "utf8"])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_a_name_is_routed_and_told_as_it_is(deployed: Deployment, name, ascii_only):
    body = json.dumps({"model": name, "prompt": "x"}, ensure_ascii=ascii_only).encode()
    answer = await deployed.post("/v1/completions", body)

    assert answer.status == 200
    assert answer.seen["model"] == name
    assert answer.seen["headers"] == {
        "x-gateway-model-name": name,
        "x-gateway-base-model-name": name,
    }
    if len(name) < 100:
        assert utf8(answer.pool) == f"{name} pool"


@pytest.mark.parametrize("name", [name for name in NAMES if len(name) < 100], ids=ascii)
async def test_an_adapter_of_a_pool_of_that_name_tells_its_base(deployed: Deployment, name):
    answer = await deployed.chat(f"lora {name}")

    assert (answer.status, answer.seen["model"]) == (200, f"lora {name}")
    assert answer.seen["headers"]["x-gateway-base-model-name"] == name


async def test_all_of_them_are_listed(deployed: Deployment):
    answer = await deployed.send("GET", "/v1/models")

    adapters = [f"lora {name}" for name in NAMES if len(name) < 100]
    assert [entry["id"] for entry in answer.json["data"]] == sorted(NAMES + adapters)


async def test_nothing_was_refused(deployed: Deployment):
    [node] = (await deployed.status())["nodes"]

    assert (node["converged"], node["rejected"]) == (True, None)
