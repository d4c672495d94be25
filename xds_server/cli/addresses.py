"""The click type of options that take `HOST:PORT`."""

from __future__ import annotations

import click
from typing_extensions import override

from xds_server.address import Address


class AddressType(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no argument
    """Turn `HOST:PORT` into an `Address`; anything else is wrong usage (exit code 2)."""

    name = "host:port"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    @override
    def split_envvar_value(self, rv: str) -> list[str]:
        return rv.replace(",", " ").split()


ADDRESS = AddressType()
