"""Where a `*` may stand in the names of a registry."""

from __future__ import annotations

import re

import pytest

from snapshots.registry.names import (
    ADAPTER_PATTERN,
    REQUESTED_PATTERN,
    check_adapter,
    check_requested,
    is_wildcard,
)
from snapshots.registry.problems import ValueRefusedError


@pytest.mark.parametrize("name", ["a", "*", "ft:*", "two words *", "-*", "--", "м*"])
def test_a_model_may_end_with_a_star(name):
    assert check_requested(name) == name
    assert re.search(REQUESTED_PATTERN, name)
    assert is_wildcard(name) == ("*" in name)


@pytest.mark.parametrize("name", ["**", "a**", "*a", "a*b", "a*b*", "", "-", " *", "* "])
def test_a_star_elsewhere_is_refused(name):
    with pytest.raises(ValueRefusedError):
        check_requested(name)

    assert not re.search(REQUESTED_PATTERN, name)


@pytest.mark.parametrize("name", ["*", "a*", "*a", "a*b"])
def test_an_adapter_has_no_star(name):
    with pytest.raises(ValueRefusedError, match=r"must not hold a `\*`"):
        check_adapter(name)

    assert not re.search(ADAPTER_PATTERN, name)
    assert re.search(ADAPTER_PATTERN, name.replace("*", "x y"))
