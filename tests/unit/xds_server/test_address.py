import pytest

from xds_server.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:18000", "127.0.0.1", 18000),
        ("localhost:0", "localhost", 0),
        ("control-plane.example:65535", "control-plane.example", 65535),
        ("[::1]:18000", "::1", 18000),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
    ],
)
def test_an_address_is_read_and_written_the_same(text, host, port):
    address = Address.parse(text)

    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "18000",
        ":18000",
        "host",
        "host:",
        "host:http",
        "host:-1",
        "host:1:2",
        "host:1/",
        "host:\u0663",  # a digit, but not one of ours
        "a b:1",
        "http://host:1",
        "unix:/run/x.sock",
        "::1:18000",
        "[::1]",
        "[]:1",
        "[h]:1",
    ],
)
def test_nonsense_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"is not HOST:PORT, such as 127\.0\.0\.1:18000"):
        Address.parse(text)


def test_a_port_beyond_the_last_is_refused():
    with pytest.raises(ValueError, match="a port is a number from 0 to 65535"):
        Address.parse("host:65536")
