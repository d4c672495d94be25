"""Where something listens, as it is written in the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.registry.addresses import Address
from snapshots.registry.problems import ValueRefusedError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:8000", "10.0.0.1", 8000),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:65535", "::1", 65535),
        ("[2001:DB8::0:1]:80", "2001:db8::1", 80),
        ("localhost:1", "localhost", 1),
        ("vllm-1.my_service.internal:8000", "vllm-1.my_service.internal", 8000),
        ("models.example.com.:443", "models.example.com.", 443),
        ("7b-models:80", "7b-models", 80),
    ],
)
def test_an_address_has_a_host_and_a_port(text, host, port):
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "host", "host:", "host:http", "host:65536", "host:-1", "host:8 0"),
        *("host:٣", "10.0.0.256:80", "10.0.0:80", "1:2:3:80", "::1:80", "[::1]", "[::1:80"),
        *("[10.0.0.1]:80", "[host]:80", "[fe80::1%eth0]:80", "a b:80", "-a:80", "a-:80", "a..b:80"),
        *("ä:80", "a/b:80", "http://a:80", "unix:/a:80", f"{'a' * 64}:80", f"{'a.' * 127}a:80"),
        *("host:123456", "127.1:80", "0x7f.1:80", "host:80\n"),
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueRefusedError):
        Address.parse(text)


def test_a_url_is_refused_with_the_address_in_it():
    with pytest.raises(ValueRefusedError) as refused:
        Address.parse("http://10.0.0.1:8000/v1")

    assert refused.value.hint == "write `10.0.0.1:8000`"


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_reads_what_it_writes(ip, port):
    address = Address(str(ip), port)

    assert Address.parse(str(address)) == address
    assert address.is_ip


def test_a_dns_name_is_no_ip():
    assert not Address.parse("models.example.com:80").is_ip
