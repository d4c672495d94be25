"""What is told of Envoy's words: the reason, and nothing of what a configuration holds."""

from __future__ import annotations

import pytest

from xds_server.preflight.envoy import SHOWN_CHARACTERS, words

BEGIN = "error initializing configuration '/tmp/x/snapshot.pb': "


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            f"{BEGIN}cluster manager: duplicate cluster 'pool/a'\n",
            "cluster manager: duplicate cluster 'pool/a'",
        ),
        (
            f"{BEGIN}Invalid duration: Expected positive duration: goo.gle/debugproto  \n"
            "seconds: -1\n\n",
            "Invalid duration: Expected positive duration",
        ),
        (
            f'{BEGIN}goo.gle/debugstr    \nnode {{\n  id: "x"\n}}\nprivate_key: "SECRET"\n'
            ": Proto constraint validation failed (BootstrapValidationError.StaticResources: "
            "embedded message failed validation | caused by OutlierDetectionValidationError"
            ".MaxEjectionPercent: value must be less than or equal to 100)\n",
            "OutlierDetectionValidationError.MaxEjectionPercent: value must be less than or equal "
            "to 100",
        ),
        ("", ""),
    ],
)
def test_the_reason_is_told_on_one_line(said, told):
    assert words(said) == told


def test_long_words_are_cut():
    assert len(words(BEGIN + "x" * 10_000)) == SHOWN_CHARACTERS
