import click
import pytest

from xds_server.address import Address
from xds_server.cli.addresses import ADDRESS


def test_an_address_is_what_the_command_gets():
    assert ADDRESS.convert("[::1]:0", None, None) == Address("::1", 0)


def test_a_default_that_is_an_address_already_stays_one():
    assert ADDRESS.convert(Address("host", 1), None, None) == Address("host", 1)


@pytest.mark.parametrize("text", ["18000", "host:http", "::1:80"])
def test_nonsense_is_wrong_usage_with_an_example(text):
    with pytest.raises(click.BadParameter, match=r"such as 127\.0\.0\.1:18000"):
        ADDRESS.convert(text, None, None)
