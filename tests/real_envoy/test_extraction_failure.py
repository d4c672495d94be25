"""What happens while the companion is down: `on_failure`."""

import pytest

from tests.support.deployment import deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target, adapters: [lora]}
models:
  m: {pool: renamed, paths: [/v1/renamed]}
extraction: {on_failure: REACTION}
"""


def down(folder, variant, reaction: str):
    return deployment(REGISTRY.replace("REACTION", reaction), ("renamed",), folder, variant)


async def test_requests_are_routed_all_the_same_by_default(variant, tmp_path):
    async with down(tmp_path, variant, "native") as deployed:
        await deployed.companions_used(1)
        await deployed.companion.stop()
        answers = {name: await deployed.chat(name) for name in ("m", "lora")}
        large = await deployed.chat("m", "x" * 3_000_000)
        by_path = await deployed.post("/v1/renamed/completions", {})
        unknown = await deployed.chat("unknown")
        nameless = await deployed.post("/v1/completions", {})

    assert {name: (a.status, a.seen["model"]) for name, a in answers.items()} == {
        "m": (200, "org/target"),
        "lora": (200, "lora"),
    }
    assert (large.status, by_path.status) == (200, 200)
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert (nameless.status, nameless.error["code"]) == (400, "missing_model")


async def test_requests_are_refused_if_the_registry_says_so(variant, tmp_path):
    async with down(tmp_path, variant, "reject") as deployed:
        assert (await deployed.chat("m")).status == 200
        await deployed.companion.stop()
        answers = [await deployed.chat("m") for _ in range(5)]
        by_path = await deployed.post("/v1/renamed/completions", {})
        listed = await deployed.send("GET", "/v1/models")
        await deployed.companion.start()
        await deployed.companions_used(1)
        recovered = await deployed.chat("m")

    for answer in answers:
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.error == {
            "message": "The gateway cannot read the model name at the moment. Try again later.",
            "type": "server_error",
            "param": None,
            "code": "extraction_unavailable",
        }
    # What does not need the companion goes on.
    assert (by_path.status, listed.status) == (200, 200)
    assert recovered.status == 200


async def test_an_edit_of_the_reaction_reaches_a_kept_connection_with_its_second_request(
    variant, tmp_path
):
    async with down(tmp_path, variant, "reject") as deployed:
        await deployed.companion.stop()
        before = await deployed.chat("m")
        await deployed.edit("on_failure: reject", "on_failure: native")
        last_of_the_old_listener = await deployed.chat("m")
        after = await deployed.chat("m")

    assert before.status == 503
    assert last_of_the_old_listener.headers["connection"] == "close"
    assert after.status == 200
