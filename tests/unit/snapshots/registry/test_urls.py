"""Where a provider is, by its URL."""

from __future__ import annotations

import pytest

from snapshots.registry.problems import ValueRefusedError
from snapshots.registry.urls import ProviderUrl


@pytest.mark.parametrize(
    ("text", "address", "authority", "path"),
    [
        ("https://api.example.com/v1", "api.example.com:443", "api.example.com", "/v1"),
        ("http://api.example.com", "api.example.com:80", "api.example.com", ""),
        ("https://a.b:8443/x/v1/", "a.b:8443", "a.b:8443", "/x/v1"),
        ("https://a.b:443/", "a.b:443", "a.b", ""),
        ("http://[2001:db8::1]/v1", "[2001:db8::1]:80", "[2001:db8::1]", "/v1"),
        ("http://[2001:db8::1]:8000", "[2001:db8::1]:8000", "[2001:db8::1]:8000", ""),
    ],
)
def test_a_url_tells_where_to_connect_and_what_to_say(text, address, authority, path):
    url = ProviderUrl.parse(text)

    assert (str(url.address), url.authority, url.path) == (address, authority, path)
    assert url.is_tls == text.startswith("https")


@pytest.mark.parametrize(
    "text",
    ["", "a.b", "ftp://a.b", "https://", "https://a_b.c:x", "https://me:key@a.b", "HTTPS://a"],
)
def test_what_is_no_url_of_a_provider_is_refused_without_repeating_it(text):
    with pytest.raises(ValueRefusedError) as refused:
        ProviderUrl.parse(text)

    assert "key" not in f"{refused.value.message} {refused.value.hint}"
