"""The refusals as a client reads them."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from snapshots.ir.refusals import REFUSALS, RefusalCode
from xds_server.ext_proc.errors import ModelNameError, error_body, shortened


def test_every_code_has_its_row():
    assert set(REFUSALS) == set(get_args(RefusalCode))


@pytest.mark.parametrize(
    ("code", "status", "param", "message"),
    [
        ("invalid_json", 400, None, "The request body is not a JSON object: DETAIL."),
        ("missing_model", 400, "model", "The request names no model: DETAIL."),
        ("ambiguous_model", 400, "model", "The request names more than one model: DETAIL."),
        ("model_not_found", 404, "model", "The model `DETAIL` does not exist."),
    ],
)
def test_the_body_has_the_shape_of_openai(code, status, param, message):
    body = json.loads(error_body(ModelNameError(code, "DETAIL")))

    assert REFUSALS[code].status == status
    assert body == {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
    }


def test_a_detail_with_braces_and_control_characters_stays_one_json_string():
    body = error_body(ModelNameError("model_not_found", '{x} "\r\n\0'))

    assert json.loads(body)["error"]["message"] == 'The model `{x} "\r\n\0` does not exist.'


@pytest.mark.parametrize(
    ("name", "short"),
    [("llama", "llama"), ("x" * 80, "x" * 80), ("x" * 81, "x" * 80 + "…"), ("\ud800", "\\ud800")],
)
def test_a_long_or_broken_name_is_made_fit_for_a_message(name, short):
    assert shortened(name) == short
