import json

import pytest

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.received import read_received
from xds_server.simulate.wholes import (
    message_body,
    ranking_body,
    response_body,
    transcription_body,
)

SENTENCE = "This is a answering as m: Hi there"
CHAT = [{"role": "user", "content": "Hi there"}]


def answered(build, **fields):
    received = read_received("/", [], json.dumps(fields).encode())
    return build(received, server="a", model="m")


@pytest.mark.parametrize("asked", ["Hi there", CHAT])
def test_a_response_holds_one_message_of_one_text(asked):
    body = answered(response_body, input=asked)

    [message] = body["output"]
    assert [part["text"] for part in message["content"]] == [SENTENCE]
    assert (body["object"], body["model"], body["usage"]["input_tokens"]) == ("response", "m", 2)


def test_a_message_has_the_shape_of_anthropic():
    body = answered(message_body, messages=CHAT, max_tokens=3)

    assert body["content"] == [{"type": "text", "text": "This is a"}]
    assert (body["type"], body["role"], body["stop_reason"]) == (
        "message",
        "assistant",
        "max_tokens",
    )


def test_the_document_that_shares_most_with_the_query_is_first():
    body = answered(ranking_body, query="red apple", documents=["a pear", "an apple", "Red apple"])

    assert [result["index"] for result in body["results"]] == [2, 1, 0]
    assert body["results"][0]["relevance_score"] == 1.0


def test_a_transcription_tells_the_file_as_it_arrived():
    form = (
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nw\r\n'
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nabc\r\n--x--'
    )
    headers = [(b"Content-Type", b"multipart/form-data; boundary=x")]
    body = transcription_body(read_received("/", headers, form), server="a", model="m")

    assert body["text"] == "This is a answering as w: a.wav"
    assert body["simulate"]["file"]["bytes"] == 3
    assert body["simulate"]["body_bytes"] == len(form)


@pytest.mark.parametrize(
    ("build", "fields"),
    [
        (response_body, {"input": "x", "stream": True}),
        (response_body, {"input": 5}),
        (message_body, {"messages": "x"}),
        (ranking_body, {"documents": []}),
        (ranking_body, {"query": "x"}),
        (transcription_body, {}),
    ],
)
def test_a_request_of_a_wrong_shape_is_refused(build, fields):
    with pytest.raises(RefusedError) as refused:
        answered(build, **fields)

    assert refused.value.status == 400
