import socket

import pytest

from xds_server.address import Address
from xds_server.listening import CannotListenError, check_free, listening_socket


def test_a_free_port_is_chosen_for_port_0():
    with listening_socket("--an-address", Address("127.0.0.1", 0)) as listener:
        assert listener.getsockname()[1] > 0


def test_an_address_that_is_free_stays_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    check_free("--an-address", Address("127.0.0.1", port))

    listening_socket("--an-address", Address("127.0.0.1", port)).close()


def test_a_port_in_use_is_told_with_option_and_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(CannotListenError) as refused:
            check_free("--an-address", Address("127.0.0.1", port))

    assert str(refused.value) == (
        f"cannot listen on --an-address 127.0.0.1:{port}: Address already in use"
    )


def test_a_name_that_nobody_knows_is_told_with_option_and_address():
    with pytest.raises(CannotListenError, match=r"^cannot listen on --an-address no\.invalid:1: "):
        check_free("--an-address", Address("no.invalid", 1))
