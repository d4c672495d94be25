"""Fixtures of tests with a real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import pytest


class Measured:
    """What a test found out beside whether it passes; it goes to the report (`--junitxml`)."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def note(self, name: str, value: object) -> None:
        self._item.user_properties.append((name, value))

    @contextmanager
    def recovery(self) -> Iterator[None]:
        """Note how long the body takes."""
        began = perf_counter()
        yield
        self.note("recovery_s", round(perf_counter() - began, 2))


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Return where the test notes what it measures."""
    return Measured(request.node)
