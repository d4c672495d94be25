"""Which prompts have the same front."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_texts import MODEL_KEYS, VALUES, members, objects
from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import model_name
from xds_server.ext_proc.prompt_prefix import prompt_prefix

PROMPT_KEYS = st.sampled_from(["messages", "prompt", "input", "system"]).map(json.dumps)
SYSTEM = {"role": "system", "content": "You are terse."}
HELLO = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi."}
MORE = {"role": "user", "content": "And now?"}


def prefix(document: Any, limit: int = 1024, **style: Any) -> str:
    return prompt_prefix(json.dumps(document, **style).encode(), b"application/json", limit)


def chat(*messages: Any, **others: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **others}


def test_a_conversation_keeps_its_front_as_it_goes_on():
    first = prefix(chat(SYSTEM, HELLO))

    assert len(first) == 16
    assert prefix(chat(SYSTEM, HELLO, ANSWER, MORE)) == first
    assert prefix(chat(SYSTEM, MORE)) != first
    assert prefix(chat(HELLO)) != first


def test_what_stands_around_the_texts_does_not_matter():
    first = prefix(chat(SYSTEM, HELLO))
    swapped = [dict(reversed(message.items())) for message in (SYSTEM, HELLO)]

    assert prefix({"messages": swapped, "model": "other", "n": 2}, indent=3) == first
    assert prefix(chat(SYSTEM, HELLO), separators=(",", ":")) == first
    parts = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert prefix(chat(SYSTEM, {"role": "user", "content": parts})) == first
    assert prefix(chat({**SYSTEM, "name": "x"}, HELLO)) == first


def test_escapes_do_not_matter():
    messages = chat({"role": "user", "content": "Grüße 模型"})

    assert prefix(messages, ensure_ascii=True) == prefix(messages, ensure_ascii=False)


def test_only_the_first_bytes_count():
    long = {"role": "system", "content": "ü" * 600}

    assert prefix(chat(long, HELLO)) == prefix(chat(long, MORE))
    assert prefix(chat(long, HELLO), 4096) != prefix(chat(long, MORE), 4096)
    assert prefix({"prompt": "a" * 1024 + "b"}) == prefix({"prompt": "a" * 1024 + "c"})
    assert prefix({"prompt": "a" * 1023 + "b"}) != prefix({"prompt": "a" * 1023 + "c"})


def test_the_texts_of_roles_and_contents_do_not_run_together():
    assert prefix(chat({"role": "a", "content": "bc"})) != prefix(
        chat({"role": "ab", "content": "c"})
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prompt": "a"}, {"prompt": ["a", "b"]}),
        ({"prompt": [1, 2]}, {"prompt": [[1, 2], [3]]}),
        ({"input": "a"}, {"input": ["a"]}),
        ({"input": [HELLO]}, {"messages": [HELLO, ANSWER]}),
        ({"system": "s", "messages": [HELLO]}, {"system": [{"text": "s"}], "messages": [HELLO]}),
        ({"instructions": "s", "input": "a"}, {"input": "a", "instructions": "s"}),
    ],
)
def test_forms_of_the_same_prompt_have_the_same_front(one, other):
    assert prefix(one) == prefix(other) != ""


def test_an_instruction_counts():
    assert prefix({"system": "a", "messages": [HELLO]}) != prefix({"messages": [HELLO]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"messages": []},
        {"messages": [None, [], {}]},
        {"messages": {"role": "user"}},
        {"prompt": ""},
        {"prompt": [[]]},
        {"prompt": None, "input": 7},
        {"messages": [{"role": 1, "content": {"text": "x"}}]},
    ],
)
def test_a_body_without_a_text_has_no_front(document):
    assert prefix(document) == ""


def test_a_form_has_none():
    assert prompt_prefix(b"--x", b"multipart/form-data; boundary=x", 1024) == ""


@given(objects(members(MODEL_KEYS | PROMPT_KEYS, VALUES)))
def test_whatever_names_a_model_has_a_front_or_none(text):
    body = text.encode()
    try:
        model_name(body)
    except ModelNameError:
        return
    assert len(prompt_prefix(body, b"", 64)) in {0, 16}


def test_what_is_nested_as_deep_as_can_be_read_is_no_error():
    for depth in range(900, 1100, 10):
        body = b'{"model": "m", "prompt": ' + b"[" * depth + b"]" * depth + b"}"
        assert prompt_prefix(body, b"", 64) == ""


def test_half_of_a_surrogate_pair_is_hashed():
    assert prompt_prefix(b'{"prompt": "\\ud800"}', b"", 64) != ""
