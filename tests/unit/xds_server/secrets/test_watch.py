"""Every way in which tools replace a secret, against the real notifications."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.support.certificates import replace
from xds_server.files.look import glance_at
from xds_server.secrets.watch import SecretWatch

NEVER_S = 3600.0


class Reader:
    """Reads a file whenever it is told to, and remembers how it was."""

    def __init__(self, path):
        self.path = path
        self.contents = asyncio.Queue()
        self.glances = {path: glance_at(path)}

    async def read(self):
        self.glances = {self.path: glance_at(self.path)}
        content = self.path.read_bytes() if self.path.exists() else None
        self.contents.put_nowait(content)

    async def next(self):
        async with asyncio.timeout(10):
            return await self.contents.get()


@asynccontextmanager
async def following(path, poll_interval_s=NEVER_S):
    reader = Reader(path)
    watch = SecretWatch(lambda: reader.glances, poll_interval_s=poll_interval_s)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.follow(reader.read))
        yield reader
        task.cancel()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secrets" / "key"
    path.parent.mkdir()
    path.write_bytes(b"one")
    return path


async def test_an_atomic_replacement_is_seen_again_and_again(secret):
    async with following(secret) as reader:
        for content in (b"two", b"three", b"four"):
            replace(secret, content)

            assert await reader.next() == content


async def test_a_file_that_goes_and_comes_back_is_seen(secret):
    async with following(secret) as reader:
        secret.unlink()
        gone = await reader.next()
        secret.write_bytes(b"two")

        assert (gone, await reader.next()) == (None, b"two")


async def test_a_volume_whose_directory_is_swapped_by_a_link_is_seen(tmp_path):
    for name, content in (("..1", b"one"), ("..2", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_bytes(content)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")

    async with following(tmp_path / "key") as reader:
        (tmp_path / "..fresh").symlink_to("..2")
        (tmp_path / "..fresh").replace(tmp_path / "..data")

        assert await reader.next() == b"two"


async def test_a_link_that_is_set_to_another_file_is_seen(tmp_path):
    """As certbot does: live/key -> ../archive/key1, then key2."""
    for name in ("live", "archive"):
        (tmp_path / name).mkdir()
    (tmp_path / "archive" / "key1").write_bytes(b"one")
    live = tmp_path / "live" / "key"
    live.symlink_to("../archive/key1")

    async with following(live) as reader:
        (tmp_path / "archive" / "key2").write_bytes(b"two")
        live.unlink()
        live.symlink_to("../archive/key2")

        assert await reader.next() == b"two"
