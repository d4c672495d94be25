import base64
import json
import math
import struct

import pytest

from xds_server.simulate.embeddings import MAX_DIMENSIONS, embeddings_body, vector
from xds_server.simulate.errors import RefusedError
from xds_server.simulate.received import read_received


def body(**fields):
    received = read_received("/v1/embeddings", [], json.dumps(fields).encode())
    return embeddings_body(received, server="e5-a", model="e5")


def test_equal_texts_give_equal_vectors_of_length_one():
    first, other, again = body(model="e5", input=["one", "two", "one"])["data"]

    assert first["embedding"] == again["embedding"] != other["embedding"]
    assert math.hypot(*first["embedding"]) == pytest.approx(1)
    assert [one["index"] for one in (first, other, again)] == [0, 1, 2]


def test_base64_holds_the_same_numbers_as_little_endian_floats():
    (plain,) = body(input="one", dimensions=8)["data"]
    (packed,) = body(input="one", dimensions=8, encoding_format="base64")["data"]

    numbers = struct.unpack("<8f", base64.b64decode(packed["embedding"]))

    assert numbers == pytest.approx(plain["embedding"])


def test_tokens_are_embedded_and_counted():
    answer = body(input=[[1, 2, 3], [4]])

    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert len(answer["data"]) == 2


def test_the_answer_says_who_gave_it_and_to_what():
    answer = body(model="alias", input="one")

    assert answer["model"] == "alias"
    assert answer["system_fingerprint"] == "e5-a"
    assert answer["simulate"]["model"] == "alias"


def test_a_vector_has_the_wanted_dimensions_even_for_half_a_character():
    assert len(vector("\ud800", MAX_DIMENSIONS)) == MAX_DIMENSIONS


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": "", "dimensions": 0},
        {"input": "a", "dimensions": MAX_DIMENSIONS + 1},
        {"input": "a", "dimensions": "8"},
        {"input": "a", "encoding_format": "hex"},
        {"input": {"a": 1}},
    ],
)
def test_a_wrong_request_is_refused(fields):
    with pytest.raises(RefusedError) as refused:
        body(**fields)

    assert refused.value.status == 400
