"""An address that strangers can reach needs a token, or the word that something else guards it."""

from pathlib import Path

import pytest

from xds_server.address import Address
from xds_server.listening import CannotListenError
from xds_server.status.door import StatusAccess
from xds_server.status.serving import UnguardedError, check_guarded


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "127.1"])
def test_loopback_needs_no_guard(host):
    check_guarded(Address(host, 18001), StatusAccess())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1", "fe80::1", "2001:db8::1"])
def test_any_other_address_does(host):
    with pytest.raises(UnguardedError, match="--status-token-file"):
        check_guarded(Address(host, 18001), StatusAccess(hosts=("status.example",)))


@pytest.mark.parametrize("access", [StatusAccess(Path("tokens")), StatusAccess(is_open=True)])
def test_a_token_or_the_operators_word_is_enough(access):
    check_guarded(Address("0.0.0.0", 18001), access)


def test_a_name_that_is_unknown_is_not_taken_for_loopback():
    with pytest.raises(CannotListenError, match="--status-address nobody"):
        check_guarded(Address("nobody.invalid", 18001), StatusAccess())
