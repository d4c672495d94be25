"""Addresses of the companion, and what keeps one from listening there."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from xds_server.address import Address
from xds_server.ext_proc.listen import (
    Listener,
    ListenError,
    UnixAddress,
    listening,
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


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def waiting_at(listener: Listener) -> int:
    """Accept all who wait, and tell how many they were."""
    count = 0
    for connection in listener.accepted():
        connection.close()
        count += 1
    return count


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_the_directory_of_a_socket_is_created_and_the_socket_removed_at_the_end(tmp_path):
    path = tmp_path / "a" / "b" / "s"

    with listening(UnixAddress(path)):
        assert connects(path)

    assert path.parent.is_dir()
    assert not path.exists()


def test_a_socket_of_a_dead_process_is_replaced(path):
    dead_socket(path)
    assert stat.S_ISSOCK(path.stat().st_mode)

    with listening(UnixAddress(path)):
        assert connects(path)


def test_a_socket_in_use_is_left_to_its_owner(path):
    with listening(UnixAddress(path)):
        refused = pytest.raises(ListenError, match=f"unix:{path}: a running process listens there")
        with refused, listening(UnixAddress(path)):
            pass

        assert connects(path)


def test_a_socket_of_a_process_too_busy_to_accept_is_in_use(path):
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as waiting:
        living.bind(str(path))
        living.listen(0)
        waiting.connect(str(path))

        refused = pytest.raises(ListenError, match="a running process listens there")
        with refused, listening(UnixAddress(path)):
            pass


def test_a_socket_is_taken_over_once_that_is_published(path):
    with listening(UnixAddress(path)) as old:
        with listening(UnixAddress(path), take_over=True) as new:
            assert connects(path)
            assert waiting_at(old) == 1
            assert not old.is_taken_over()

            new.publish()

            assert connects(path)
            assert (waiting_at(new), waiting_at(old)) == (1, 0)
            assert (old.is_taken_over(), new.is_taken_over()) == (True, False)

            old.close()

            assert connects(path)  # not removed by one who has it no more
        assert not path.exists()

    assert list(path.parent.iterdir()) == []


def test_two_that_take_over_in_one_folder_at_once_do_not_mix_their_sockets(tmp_path):
    first, second = (UnixAddress(tmp_path / name) for name in ("first", "second"))
    with listening(first, take_over=True) as one, listening(second, take_over=True) as other:
        one.publish()
        other.publish()

        assert connects(first.path)
        assert (waiting_at(one), waiting_at(other)) == (1, 0)
        assert sorted(tmp_path.iterdir()) == [first.path, second.path]


def test_a_take_over_that_comes_to_nothing_leaves_no_trace(path):
    with listening(UnixAddress(path)):
        with listening(UnixAddress(path), take_over=True):
            pass

        assert connects(path)
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", ["nothing", "dead"])
def test_with_nobody_there_to_take_over_from_a_socket_is_made(path, before):
    if before == "dead":
        dead_socket(path)

    with listening(UnixAddress(path), take_over=True) as listener:
        listener.publish()

        assert connects(path)


@pytest.mark.parametrize("take_over", [False, True])
def test_a_file_in_the_way_is_not_removed(path, take_over):
    path.write_text("precious")

    refused = pytest.raises(ListenError, match="that is a file and not a socket")
    with refused, listening(UnixAddress(path), take_over=take_over):
        pass

    assert path.read_text() == "precious"


def test_who_waits_when_the_socket_goes_can_still_be_accepted(path):
    with listening(UnixAddress(path)) as listener:
        assert connects(path)
        listener.leave()

        assert not connects(path)
        assert waiting_at(listener) == 1


def test_a_directory_that_cannot_be_made_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "d" / "s"

    with pytest.raises(ListenError) as refused, listening(UnixAddress(path)):
        pass

    assert str(refused.value) == f"cannot listen on unix:{path}: Not a directory: {path.parent}"


def test_a_port_in_use_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = Address("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ListenError) as refused, listening(address):
            pass

    assert str(refused.value) == f"cannot listen on {address}: Address already in use"


def test_any_port_is_one_and_told():
    with listening(Address("127.0.0.1", 0)) as listener:
        address = listener.address

        with socket.create_connection((address.host, address.port)):
            assert waiting_at(listener) == 1

    with listening(address) as again:  # at once, whatever is in TIME_WAIT
        assert again.address == address


def test_a_host_that_does_not_exist_is_refused_in_one_line():
    refused = pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid:1: [^\n]+$")
    with refused, listening(Address("nowhere.invalid", 1)):
        pass
