"""What the server receives: the body byte for byte, but for the name that its pool expects."""

import hashlib
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.deployment import Answer, Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target, adapters: [lora, 'quo"te', bäck, org/😀]}
  odd: {endpoints: ["<odd>"], model: 'модель/"ü" 100%\\x {model}'}
  same: {endpoints: ["<same>"]}
models:
  m: {pool: renamed, paths: [/v1/renamed]}
  odd: {pool: odd, paths: [/v1/odd]}
  same: {pool: same, paths: [/v1/same]}
  'org/a "b"': {pool: renamed}
  モデル: {pool: renamed}
"""
ODD = r'"модель/\"ü\" 100%\\x {model}"'.encode()
EIGHT_MB = 8 * 1024 * 1024

# In each, @ stands for the string that is the name: first the client's, then the pool's.
BODIES = {
    "alone": '{"model":@}',
    "first": '{"model":@,"prompt":"x"}',
    "last": '{"prompt":"x","stream":false,"model":@}',
    "spaced": ' \r\n{\t"prompt" : "x" ,\n  "model"\n:\r\n\t @ \n,\n "max_tokens" :5 }\n\n ',
    "nested": '{"metadata":{"model":"m","a":[{"model":"m"}]},"model":@,"x":{"model":"m"}}',
    "in a list": '{"messages":[{"role":"user","content":"x","model":"m"}],"model":@}',
    "in text": r'{"prompt":"\"model\":\"m\", {\"model\": \"m\"}","model":@}',
    "as a value": '{"prompt":"model","user":"m","model":@,"suffix":"model"}',
    "similar keys": '{"Model":"m","model ":"m","model_":"m","":"m","model":@,"xmodel":"m"}',
    "escapes": r'{"prompt":"a\\","user":"\\\"","suffix":"\\\\\"","model":@}',
    "escaped key": r'{"mod\u0065l":@,"\u006dodel_":"m"}',
    "braces in text": r'{"prompt":"}]{[,:","user":"{{{","model":@,"suffix":"\"}"}',
    "numbers": '{"seed":12345678901234567890123,"top_p":1.0e-2,"model":@,"n":-0}',
    "unicode": '{"prompt":"Grüße \U0001f600 \\ud83d\\ude00 \\u0000","model":@}',
    "twice": '{"model":@,"prompt":"x","model":@}',
    "deep": '{"metadata":' + "[" * 200 + "]" * 200 + ',"model":@}',
}

deployed = shared_deployment(REGISTRY, ("renamed", "odd", "same"))


def body_of(template: str, name: bytes) -> bytes:
    return template.encode().replace(b"@", name)


def received(answer: Answer) -> tuple[int, int, str]:
    return answer.status, answer.seen["body_bytes"], answer.seen["body_sha256"]


def whole(body: bytes) -> tuple[int, int, str]:
    return 200, len(body), hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("template", BODIES.values(), ids=BODIES.keys())
async def test_nothing_but_the_name_is_changed(deployed: Deployment, template):
    answer = await deployed.post("/v1/completions", body_of(template, b'"m"'))

    assert received(answer) == whole(body_of(template, b'"org/target"'))
    assert answer.server == "renamed"


@pytest.mark.parametrize("template", BODIES.values(), ids=BODIES.keys())
async def test_a_pool_without_a_name_of_its_own_receives_every_byte_as_sent(
    deployed: Deployment, template
):
    body = body_of(template, b'"same"')
    answer = await deployed.post("/v1/completions", body)

    assert received(answer) == whole(body)


@pytest.mark.parametrize(
    "name",
    [
        rb'"\u006d"',
        rb'"org\/a \"b\""',
        rb'"org/a \u0022b\u0022"',
        '"モデル"'.encode(),
        rb'"\u30e2\u30c7\u30EB"',
    ],
)
async def test_a_name_is_replaced_however_it_is_escaped(deployed: Deployment, name):
    answer = await deployed.post("/v1/completions", b'{"model": %b, "prompt": "x"}' % name)

    assert received(answer) == whole(b'{"model": "org/target", "prompt": "x"}')


async def test_the_name_of_a_pool_is_escaped_as_json_demands(deployed: Deployment):
    answer = await deployed.post("/v1/completions", b'{"model":"odd","prompt":"x"}')

    assert received(answer) == whole(b'{"model":%b,"prompt":"x"}' % ODD)
    assert answer.seen["model"] == 'модель/"ü" 100%\\x {model}'


@pytest.mark.parametrize(
    "name",
    [
        b'"lora"',
        rb'"lor\u0061"',
        rb'"quo\"te"',
        '"bäck"'.encode(),
        rb'"b\u00E4ck"',
        '"org/😀"'.encode(),
        rb'"org\/\ud83d\uDE00"',
    ],
)
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
async def test_an_adapter_keeps_its_name_byte_for_byte(deployed: Deployment, path, name):
    body = b'{"prompt": "x", "model" : %b}' % name
    answer = await deployed.post(path, body)

    assert received(answer) == whole(body)
    assert answer.pool == "renamed"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b'{"model": "m"}', b'{"model": "org/target"}'),
        (b'{"model": "unknown to all"}', b'{"model": "org/target"}'),
        (b'{"model": ""}', b'{"model": "org/target"}'),
        (b'{"prompt": "x"}', b'{"prompt": "x"}'),
        (b'{"model": null}', b'{"model": null}'),
        (b"{}", b"{}"),
    ],
)
async def test_a_path_rewrites_a_name_that_is_a_string_and_adds_none(
    deployed: Deployment, sent, expected
):
    answer = await deployed.post("/v1/renamed/completions", sent)

    assert received(answer) == whole(expected)


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b'{"model": "m"', b'["model", "m"]', b'"model"', b'{"model": "m']
)
async def test_what_is_not_a_json_object_passes_a_path_as_it_is(deployed: Deployment, body):
    answer = await deployed.post("/v1/renamed/completions", body)

    # The simulated server refuses it in words of its own, so it got there.
    assert (answer.status, answer.server, answer.pool) == (400, "renamed", "renamed")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
async def test_a_body_of_8_mb_is_rewritten(deployed: Deployment, path):
    text = b"x" * EIGHT_MB
    answer = await deployed.post(path, b'{"prompt":"%b","model":"m"}' % text)

    assert received(answer) == whole(b'{"prompt":"%b","model":"org/target"}' % text)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_a_body_of_8_mb_passes_unchanged(deployed: Deployment, path):
    body = b'{"prompt":"%b","model":"same"}' % (b"x" * EIGHT_MB)
    answer = await deployed.post(path, body)

    assert received(answer) == whole(body)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/renamed/audio/transcriptions"])
@pytest.mark.parametrize("size", [10, EIGHT_MB])
async def test_the_name_in_a_form_is_rewritten(deployed: Deployment, path, size):
    head = b'--edge\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'
    sound = head % b'file"; filename="model' + bytes(size) + b"\r\n"
    form = sound + head % b"model" + b"%b\r\n--edge--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    answer = await deployed.post(path, form.replace(b"%b", b"m"), headers)

    assert received(answer) == whole(form.replace(b"%b", b"org/target"))
    assert answer.server == "renamed"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_chunked_upload_is_rewritten(deployed: Deployment, path, size):
    text = json.dumps("x" * 20 * size).encode()
    body = b'{"prompt": %b, "model": "m"}' % text
    answer = await deployed.send("POST", path, data=in_pieces(body, size))

    assert received(answer) == whole(b'{"prompt": %b, "model": "org/target"}' % text)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_a_chunked_upload_passes_unchanged(deployed: Deployment, path):
    body = b'{"prompt": "%b", "model": "same"}' % (b"x" * 300_000)
    answer = await deployed.send("POST", path, data=in_pieces(body, 10_000))

    assert received(answer) == whole(body)


async def test_an_upload_that_asks_first_is_told_to_go_on(deployed: Deployment):
    body = b'{"prompt": "x", "model": "m"}'
    answer = await deployed.send("POST", "/v1/completions", data=body, expect100=True)

    assert received(answer) == whole(body.replace(b'"m"', b'"org/target"'))


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
