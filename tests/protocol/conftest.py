"""Fixtures of the protocol's tests."""

import pytest

from tests.support.talk import DeltaTalk, SotwTalk, Talk


@pytest.fixture(params=[DeltaTalk, SotwTalk], ids=["delta", "sotw"])
def talk(request: pytest.FixtureRequest) -> Talk:
    """A conversation that has not begun: of each variant in turn."""
    return request.param()
