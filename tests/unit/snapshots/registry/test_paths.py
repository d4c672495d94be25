"""Which path prefixes may select a model, and what is cut of them."""

from __future__ import annotations

import re

import pytest

from snapshots.registry.paths import PATH_PATTERN, check_path, split_prefix
from snapshots.registry.problems import ValueRefusedError


@pytest.mark.parametrize(
    ("prefix", "kept", "cut"),
    [
        ("/v1/1b", "/v1", "/1b"),
        ("/v1/team/1b", "/v1", "/team/1b"),
        ("/v12/1b", "/v12", "/1b"),
        ("/team/llama", "", "/team/llama"),
        ("/v1beta/1b", "", "/v1beta/1b"),
        ("/value/1b", "", "/value/1b"),
        ("/v1", "/v1", ""),
    ],
)
def test_a_leading_api_version_stays_and_the_rest_is_cut(prefix, kept, cut):
    assert split_prefix(prefix) == (kept, cut)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/1b", "/team/llama", "/chat", "/v1/chatbot", "/v1/chat/llama", "/models/llama"),
        *("/a.b/~c/d:e@f", "/l%C3%A4ma", "/v1/v2", "/...", "/v1/models-of-ours"),
    ],
)
def test_a_path_may_select_a_model(path):
    assert check_path(path) == path
    assert re.search(PATH_PATTERN, path)


@pytest.mark.parametrize("path", ["/", "//", "/v1", "/v1/", "/v2"])
def test_a_path_without_a_segment_of_its_own_is_refused(path):
    with pytest.raises(ValueRefusedError, match="would take every request"):
        check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "v1/a", "a", "/v1/a/", "/a/", "/v1//a", "/a//b", "/v1/../a", "/a/.", "/a/.."),
        *("/a?b", "/a#b", "/a b", "/ä", "/a%", "/a%2", "/a%GG", "/a\\b", "/a\tb", "/a\n"),
        "/" + "a" * 1024,
    ],
)
def test_a_path_that_no_request_can_have_is_refused(path):
    with pytest.raises(ValueRefusedError):
        check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/models", "/v1/models/llama", "/v2/models", "/v1/chat", "/v1/chat/completions"),
        *("/v1/completions", "/v1/embeddings", "/v1/responses"),
    ],
)
def test_a_path_of_the_api_itself_is_refused(path):
    with pytest.raises(ValueRefusedError):
        check_path(path)


def test_a_version_at_the_end_is_refused_because_it_would_be_cut():
    with pytest.raises(ValueRefusedError) as refused:
        check_path("/team/llama/v1")

    assert refused.value.hint == "write `/team/llama`"
