"""Every way in which editors and tools write a file, against the real notifications.

The poll is an hour apart unless a test is about it: what arrives came by notification.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from xds_server.files.look import ReadProblem
from xds_server.reload.watch import RegistryWatch

NEVER_S = 3600.0


class Followed:
    """What a watch has passed on so far and will."""

    def __init__(self) -> None:
        self.contents: asyncio.Queue[bytes | ReadProblem] = asyncio.Queue()

    async def next(self) -> bytes | ReadProblem:
        async with asyncio.timeout(10):
            return await self.contents.get()


@asynccontextmanager
async def following(path: Path, **options) -> AsyncIterator[Followed]:
    followed = Followed()
    watch = RegistryWatch(path, **{"poll_interval_s": NEVER_S, **options})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.follow(followed.contents.put))
        yield followed
        task.cancel()


@pytest.fixture
def registry(tmp_path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "registry.yaml"
    path.write_bytes(b"one\n")
    return path


def replace(path: Path, content: bytes) -> None:
    """Write a new file and rename it over *path*, as most editors do."""
    fresh = path.with_name(path.name + "~")
    fresh.write_bytes(content)
    fresh.replace(path)


async def test_the_content_is_passed_on_at_first(registry):
    async with following(registry) as followed:
        assert await followed.next() == b"one\n"


async def test_known_content_is_not_passed_on_but_an_edit_before_the_watch_is(registry):
    registry.write_bytes(b"two\n")

    async with following(registry, known=b"one\n") as followed:
        assert await followed.next() == b"two\n"


async def test_a_write_in_place_is_seen(registry):
    async with following(registry) as followed:
        await followed.next()
        for content in (b"two\n", b"three\n", b"four\n"):
            registry.write_bytes(content)

            assert await followed.next() == content


async def test_an_atomic_rename_is_seen_each_time(registry):
    async with following(registry) as followed:
        await followed.next()
        for content in (b"two\n", b"three\n", b"four\n"):
            replace(registry, content)

            assert await followed.next() == content


async def test_writes_in_place_and_renames_may_take_turns(registry):
    async with following(registry) as followed:
        await followed.next()
        for turn in range(3):
            replace(registry, b"renamed %d\n" % turn)
            assert await followed.next() == b"renamed %d\n" % turn
            registry.write_bytes(b"in place %d\n" % turn)
            assert await followed.next() == b"in place %d\n" % turn


async def test_a_rename_that_keeps_size_and_times_is_seen(registry):
    status = registry.stat()
    async with following(registry) as followed:
        await followed.next()
        fresh = registry.with_name("fresh")
        fresh.write_bytes(b"two\n")
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        fresh.replace(registry)

        assert await followed.next() == b"two\n"


async def test_a_swapped_symlink_and_a_write_to_its_target_are_seen(tmp_path):
    for name in ("blue", "green"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.yaml").write_bytes(name.encode() + b"\n")
    link = tmp_path / "links" / "registry.yaml"
    link.parent.mkdir()
    link.symlink_to("../blue/r.yaml")
    async with following(link) as followed:
        assert await followed.next() == b"blue\n"

        swapped = link.with_name("swap")
        swapped.symlink_to("../green/r.yaml")
        swapped.replace(link)
        assert await followed.next() == b"green\n"

        (tmp_path / "green" / "r.yaml").write_bytes(b"greener\n")
        assert await followed.next() == b"greener\n"

        replace(tmp_path / "green" / "r.yaml", b"greenest\n")
        assert await followed.next() == b"greenest\n"


async def test_a_kubernetes_volume_update_is_seen_each_time(tmp_path):
    """`registry.yaml -> ..data/registry.yaml`, `..data -> ..N`: an update renames `..data`."""
    (tmp_path / "registry.yaml").symlink_to("..data/registry.yaml")

    def update(turn: int) -> None:
        folder = tmp_path / f"..{turn}"
        folder.mkdir()
        (folder / "registry.yaml").write_bytes(b"turn %d\n" % turn)
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        if (old := tmp_path / f"..{turn - 1}").exists():
            shutil.rmtree(old)

    update(0)
    async with following(tmp_path / "registry.yaml") as followed:
        for turn in range(4):
            assert await followed.next() == b"turn %d\n" % turn
            update(turn + 1)


async def test_a_write_in_place_through_another_name_is_seen(registry, tmp_path):
    """As through a bind mount of the one file, of which its directory here is told nothing."""
    other = tmp_path / "elsewhere.yaml"
    other.hardlink_to(registry)
    async with following(registry) as followed:
        await followed.next()
        for content in (b"two\n", b"three\n"):
            other.write_bytes(content)

            assert await followed.next() == content


async def test_a_deleted_file_is_a_problem_until_it_is_made_again(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.unlink()
        assert await followed.next() == ReadProblem(f"{registry} does not exist")

        registry.write_bytes(b"one\n")
        assert await followed.next() == b"one\n"


async def test_delete_and_create_at_once_is_an_edit_and_no_problem(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.unlink()
        registry.write_bytes(b"two\n")

        assert await followed.next() == b"two\n"


async def test_a_removed_directory_may_come_back(registry):
    async with following(registry) as followed:
        await followed.next()
        shutil.rmtree(registry.parent)
        assert await followed.next() == ReadProblem(f"{registry} does not exist")

        registry.parent.mkdir()
        registry.write_bytes(b"two\n")
        assert await followed.next() == b"two\n"

        registry.write_bytes(b"three\n")
        assert await followed.next() == b"three\n"


async def test_a_directory_that_is_swapped_for_another_is_seen_by_the_poll(registry):
    """Renaming a directory tells nothing to a watch on it."""
    other = registry.parent.with_name("other")
    other.mkdir()
    (other / registry.name).write_bytes(b"two\n")
    async with following(registry, poll_interval_s=0.05) as followed:
        await followed.next()
        registry.parent.rename(registry.parent.with_name("old"))
        other.rename(registry.parent)
        assert await followed.next() == b"two\n"

        registry.write_bytes(b"three\n")
        assert await followed.next() == b"three\n"


async def test_something_else_in_place_of_the_file_is_a_problem_until_repaired(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.unlink()
        registry.mkdir()
        assert await followed.next() == ReadProblem(f"{registry} cannot be read: Is a directory")

        registry.rmdir()
        os.mkfifo(registry)
        assert await followed.next() == ReadProblem(f"{registry} is not a regular file")

        registry.unlink()
        registry.write_bytes(b"two\n")
        assert await followed.next() == b"two\n"


async def test_a_lost_permission_is_a_problem_until_it_is_given_back(ordinary_folder):
    registry = ordinary_folder / "registry.yaml"
    registry.write_bytes(b"one\n")
    async with following(registry) as followed:
        await followed.next()
        registry.chmod(0)
        assert await followed.next() == ReadProblem(f"{registry} cannot be read: Permission denied")

        registry.chmod(0o600)
        assert await followed.next() == b"one\n"


async def test_the_same_content_again_is_not_passed_on(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.write_bytes(b"one\n")
        replace(registry, b"one\n")
        registry.touch()
        replace(registry, b"two\n")

        assert await followed.next() == b"two\n"


async def test_of_edits_that_come_faster_than_they_are_used_the_newest_is_passed_on(registry):
    used, go_on = asyncio.Queue(), asyncio.Event()

    async def use(content):
        await used.put(content)
        await go_on.wait()

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        task = tasks.create_task(RegistryWatch(registry, poll_interval_s=NEVER_S).follow(use))
        await used.get()
        for number in range(20):
            registry.write_bytes(b"edit %d\n" % number)
        go_on.set()

        assert await used.get() == b"edit 19\n"
        task.cancel()


async def test_a_file_that_is_written_piece_by_piece_is_passed_on_whole(registry):
    """The head of a registry is often a valid one with fewer models."""
    lines = [b"line %d\n" % number for number in range(20)]
    registry.write_bytes(b"".join(lines))
    async with following(registry) as followed:
        await followed.next()
        with registry.open("wb", buffering=0) as file:
            for line in reversed(lines):
                file.write(line)
                await asyncio.sleep(0.01)  # the writer's pace: beyond debounce, all in all

        assert await followed.next() == b"".join(reversed(lines))


async def test_a_file_that_stays_empty_is_passed_on(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.write_bytes(b"")

        assert await followed.next() == b""


async def test_a_last_line_without_its_end_is_passed_on_after_a_moment(registry):
    async with following(registry) as followed:
        await followed.next()
        registry.write_bytes(b"no newline at the end")

        assert await followed.next() == b"no newline at the end"


async def silent(*_places, **_options):
    """Notifications of a file system that has none, such as many network file systems."""
    await asyncio.Event().wait()
    yield set()


async def refused(*_places, **_options):
    """Notifications where the user has no inotify instance left."""
    raise OSError(errno.EMFILE, "Too many open files")
    yield set()


@pytest.mark.parametrize("notifications", [silent, refused])
async def test_without_notifications_the_poll_sees_edits(registry, notifications):
    options = {"notifications": notifications, "poll_interval_s": 0.02}
    async with following(registry, **options) as followed:
        await followed.next()
        registry.write_bytes(b"two\n")
        assert await followed.next() == b"two\n"

        replace(registry, b"three\n")
        assert await followed.next() == b"three\n"


async def test_that_notifications_are_refused_is_said_once(registry):
    with capture_logs() as logs:
        async with following(registry, notifications=refused, poll_interval_s=0.02) as followed:
            await followed.next()
            for content in (b"two\n", b"three\n"):
                replace(registry, content)
                await followed.next()

    assert [line["event"] for line in logs] == ["registry.watch.polling"]
    assert logs[0]["error_message"] == "[Errno 24] Too many open files"


async def test_that_notifications_never_come_is_said_once(registry):
    with capture_logs() as logs:
        async with following(registry, notifications=silent, poll_interval_s=0.02) as followed:
            await followed.next()
            for content in (b"two\n", b"three\n"):
                replace(registry, content)
                await followed.next()

    assert [line["event"] for line in logs] == ["registry.watch.polling"]
    assert logs[0]["error_message"] == "a change was seen that no notification told of"


async def test_a_poll_that_is_ahead_of_the_notification_says_nothing(registry):
    with capture_logs() as logs:
        async with following(registry, poll_interval_s=0.005) as followed:
            await followed.next()
            for content in (b"two\n", b"three\n", b"four\n"):
                replace(registry, content)
                await followed.next()

    assert not logs
