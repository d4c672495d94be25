"""Statuses and words as header blocks."""

from __future__ import annotations

import hpack
import pytest

from xds_server.ext_proc.wire.grpc import MAX_WORDS_BYTES, Status, trailers


def fields(block: bytes) -> dict[str, str]:
    return dict(hpack.Decoder().decode(block))


def test_a_status_without_words_has_no_message():
    assert fields(trailers(Status.OK)) == {"grpc-status": "0"}


@pytest.mark.parametrize(
    ("words", "encoded"),
    [
        ("plain words", "plain words"),
        ("100 %\nü", "100 %25%0A%C3%BC"),
        ("\ud800", "?"),
        ("x" * 5000, "x" * MAX_WORDS_BYTES),
    ],
)
def test_words_are_percent_encoded_and_bounded(words, encoded):
    assert fields(trailers(Status.INTERNAL, words))["grpc-message"] == encoded
