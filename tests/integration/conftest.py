"""A control plane's ADS service, and a client of it in each variant."""

import pytest

from tests.support.ads_client import AdsClient
from tests.support.xds_server import XdsServer, xds_server


@pytest.fixture
async def server():
    async with xds_server() as running:
        yield running


@pytest.fixture
async def client(server: XdsServer, variant):
    async with AdsClient(server.address, variant) as connected:
        yield connected
