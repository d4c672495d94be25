import json

import pytest

from xds_server.simulate.answers import build_answer
from xds_server.simulate.errors import RefusedError
from xds_server.simulate.questions import ECHO_WORDS, MAX_TEXTS
from xds_server.simulate.received import read_received


def answer(fields, *, tokens=None):
    received = read_received("/v1/chat/completions", [], json.dumps(fields).encode())
    return build_answer(
        received, server="llama-1b-a", model="llama-1b", serial=1, created=0, tokens=tokens
    )


def text(fields, **options):
    (words,) = answer(fields, **options).choices
    return " ".join(words)


def user(content):
    return {"role": "user", "content": content}


def test_the_sentence_names_the_server_the_model_and_the_last_user_words():
    messages = [user("first"), user("What is\nEnvoy?"), {"role": "assistant", "content": "A proxy"}]

    said = text({"model": "meta-llama/Llama-3.2-1B-Instruct", "messages": messages})

    assert said == (
        "This is llama-1b-a answering as meta-llama/Llama-3.2-1B-Instruct: What is Envoy?"
    )


def test_the_same_request_gives_the_same_answer():
    fields = {"model": "a", "messages": [user("hello")]}

    assert answer(fields) == answer(fields)


def test_without_a_model_the_server_speaks_as_its_own():
    assert text({"prompt": "hi"}) == "This is llama-1b-a answering as llama-1b: hi"


def test_a_chat_may_carry_a_prompt_instead_of_messages_or_neither():
    assert text({"model": "a", "prompt": "hi there"}).endswith("as a: hi there")
    assert text({"model": "a"}).endswith("as a:")


def test_content_parts_are_read_and_pictures_skipped():
    parts = [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "see this"}, "x"]

    assert text({"model": "a", "messages": [user(parts)]}).endswith(": see this")


def test_a_message_without_content_is_accepted():
    assert text({"model": "a", "messages": [user(None)]}).endswith(" as a:")


def test_the_echo_is_bounded():
    said = text({"model": "a", "prompt": "word " * 1_000_000})

    assert said.count("word") == ECHO_WORDS


def test_usage_counts_words():
    usage = answer({"model": "a", "messages": [user("one two"), user("three")]}).usage()

    assert usage == {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}


@pytest.mark.parametrize("tokens", [1, 4, 100])
def test_the_wanted_number_of_tokens_is_said(tokens):
    assert answer({"model": "a", "prompt": "hi"}, tokens=tokens).completion_tokens == tokens


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_in_the_request_cuts_the_answer_and_says_so(limit):
    cut = answer({"model": "a", "prompt": "hi", limit: 2})

    assert cut.choices == (("This", "is"),)
    assert cut.finish_reason == "length"
    assert answer({"model": "a", "prompt": "hi", limit: 1000}).finish_reason == "stop"


def test_every_prompt_is_answered_n_times():
    several = answer({"model": "a", "prompt": ["one", [7, 8, 9]], "n": 2})

    assert [words[-1] for words in several.choices] == ["one", "one", "tokens", "tokens"]
    assert several.prompt_tokens == 4


def test_the_pieces_of_each_choice_make_up_its_text():
    several = answer({"model": "a", "prompt": ["one", "one two three"]})

    texts = ["", ""]
    for index, piece in several.pieces():
        texts[index] += piece

    assert texts == [" ".join(words) for words in several.choices]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": "hi"},
        {"messages": ["hi"]},
        {"prompt": 1},
        {"prompt": []},
        {"prompt": [1, "a"]},
        {"prompt": [["a"]]},
        {"prompt": ["a"] * (MAX_TEXTS + 1)},
        {"prompt": "a", "n": MAX_TEXTS + 1},
    ],
)
def test_what_cannot_be_answered_is_refused(fields):
    with pytest.raises(RefusedError) as refused:
        answer(fields)

    assert refused.value.status == 400
