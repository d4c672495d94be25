"""Addresses of the companion, and what keeps one from listening there."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from xds_server.address import Address
from xds_server.ext_proc.listen import (
    ListenError,
    UnixAddress,
    bound_socket,
    claim,
    parse_listen_address,
)


@pytest.fixture
def path(tmp_path) -> Path:
    """A short path: a Unix socket's has 107 bytes at most."""
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a.sock", UnixAddress(Path("/run/a.sock"))),
        ("unix:relative.sock", UnixAddress(Path("relative.sock"))),
        ("127.0.0.1:50051", Address("127.0.0.1", 50051)),
        ("[::1]:0", Address("::1", 0)),
    ],
)
def test_an_address_is_a_path_or_a_host_and_port_and_prints_as_written(text, address):
    assert parse_listen_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unix:", "names no file"),
        ("unix:/a\0b", "names no file"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
        ("/run/a.sock", "nor is it unix:/path/to.sock"),
        ("localhost", "is not HOST:PORT"),
        ("127.0.0.1:70000", "a port is a number from 0 to 65535"),
        ("", "is not HOST:PORT"),
    ],
)
def test_a_malformed_address_is_refused_with_a_hint(text, message):
    with pytest.raises(ValueError, match=message):
        parse_listen_address(text)


def test_the_directory_of_a_socket_is_created_and_the_path_left_free(tmp_path):
    path = tmp_path / "a" / "b" / "s"

    claim(UnixAddress(path))

    assert path.parent.is_dir()
    assert not path.exists()


def test_a_socket_of_a_dead_process_is_removed(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)

    claim(UnixAddress(path))

    assert not path.exists()


def test_a_socket_in_use_is_left_to_its_owner(path):
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()

        with pytest.raises(ListenError, match=f"unix:{path}: a running process listens there"):
            claim(UnixAddress(path))

        assert path.is_socket()


def test_a_socket_of_a_process_too_busy_to_accept_is_in_use(path):
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as waiting:
        living.bind(str(path))
        living.listen(0)
        waiting.connect(str(path))

        with pytest.raises(ListenError, match="a running process listens there"):
            claim(UnixAddress(path))


def test_a_file_in_the_way_is_not_removed(path):
    path.write_text("precious")

    with pytest.raises(ListenError, match="that is a file and not a socket"):
        claim(UnixAddress(path))

    assert path.read_text() == "precious"


def test_a_directory_that_cannot_be_made_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "d" / "s"

    with pytest.raises(ListenError) as refused:
        claim(UnixAddress(path))

    assert str(refused.value) == f"cannot listen on unix:{path}: Not a directory: {path.parent}"


def test_a_port_in_use_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = Address("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ListenError) as refused:
            claim(address)

    assert str(refused.value) == f"cannot listen on {address}: Address already in use"


def test_a_free_port_and_any_port_are_claimed():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = Address("127.0.0.1", other.getsockname()[1])

    claim(address)
    claim(Address("127.0.0.1", 0))


def test_a_host_that_does_not_exist_is_refused_in_one_line():
    with pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid:1: [^\n]+$"):
        claim(Address("nowhere.invalid", 1))


def test_a_shared_port_can_be_bound_twice_but_not_claimed():
    with bound_socket(Address("127.0.0.1", 0), shared=True) as first:
        address = Address("127.0.0.1", first.getsockname()[1])
        with bound_socket(address, shared=True) as second:
            second.listen()

            with pytest.raises(ListenError, match="Address already in use"):
                claim(address)
