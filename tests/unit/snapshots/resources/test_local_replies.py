"""Envoy's own answers have the shape of OpenAI's errors."""

from __future__ import annotations

from snapshots.resources.local_replies import LOCAL_REPLIES, build_local_replies


def test_each_answer_is_an_error_as_json():
    mappers = build_local_replies().mappers

    assert len(mappers) == len(LOCAL_REPLIES)
    for mapper, reply in zip(mappers, LOCAL_REPLIES, strict=True):
        error = mapper.body_format_override.json_format.to_dict()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == reply.code
        assert mapper.body_format_override.content_type == "application/json"
        assert mapper.status_code == reply.status


def test_what_may_be_over_soon_says_when_to_try_again():
    with_advice = {
        reply.code
        for reply, mapper in zip(LOCAL_REPLIES, build_local_replies().mappers, strict=True)
        if any(option.header.key == "retry-after" for option in mapper.headers_to_add)
    }

    assert with_advice == {reply.code for reply in LOCAL_REPLIES if reply.retry_after}
    assert {"no_healthy_upstream", "extraction_unavailable"} <= with_advice


def test_no_answer_is_given_without_a_condition():
    assert all(r.flags or r.original_status or r.without_model or r.unread for r in LOCAL_REPLIES)


def test_clients_are_not_blamed_for_what_they_did_not_do():
    for reply in LOCAL_REPLIES:
        assert (reply.kind == "invalid_request_error") == (reply.status < 500)
