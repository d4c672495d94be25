import os
from pathlib import Path

from xds_server.files.look import ReadProblem, glance_at, look_at, read


def places(path: Path, root: Path) -> set[str]:
    """Return what is watched for *path*, as far as it is below *root*."""
    found = (Path(place.path) for place in glance_at(path).places)
    return {str(place.relative_to(root)) for place in found if place.is_relative_to(root)}


def test_a_plain_file_is_watched_and_its_directory(tmp_path):
    (tmp_path / "registry.yaml").write_text("x")

    assert places(tmp_path / "registry.yaml", tmp_path) == {".", "registry.yaml"}


def test_a_link_is_watched_where_it_stands_and_where_it_leads(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "real" / "r.yaml").write_text("x")
    (tmp_path / "links" / "registry.yaml").symlink_to("../real/r.yaml")

    watched = places(tmp_path / "links" / "registry.yaml", tmp_path)

    assert {os.path.normpath(place) for place in watched} == {"links", "real", "real/r.yaml"}


def test_linked_directories_are_watched_where_they_stand(tmp_path):
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "registry.yaml").write_text("x")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "registry.yaml").symlink_to("..data/registry.yaml")

    watched = places(tmp_path / "registry.yaml", tmp_path)

    assert watched == {".", "..1", "..1/registry.yaml"}


def test_of_a_missing_directory_the_nearest_one_is_watched(tmp_path):
    assert places(tmp_path / "a" / "b" / "registry.yaml", tmp_path) == {"."}


def test_links_that_lead_in_a_circle_are_a_problem_and_no_endless_loop(tmp_path):
    (tmp_path / "registry.yaml").symlink_to("other")
    (tmp_path / "other").symlink_to("registry.yaml")

    look = look_at(tmp_path / "registry.yaml")

    assert look.glance.signature == ()
    assert isinstance(look.content, ReadProblem)
    assert look.content.message.endswith("cannot be read: Too many levels of symbolic links")


def test_a_name_that_no_file_can_have_is_a_problem(tmp_path):
    look = look_at(tmp_path / ("x" * 300))

    assert look.content.message.endswith("cannot be read: File name too long")


def test_a_glance_sees_a_replacement_that_keeps_size_and_mtime(tmp_path):
    path, fresh = tmp_path / "registry.yaml", tmp_path / "fresh"
    path.write_text("one")
    fresh.write_text("two")
    before, status = glance_at(path), path.stat()
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.replace(path)

    assert glance_at(path) != before


def test_a_file_of_absurd_size_is_a_problem_and_not_read(tmp_path):
    path = tmp_path / "registry.yaml"
    path.touch()
    os.truncate(path, 10**12)

    assert read(path) == ReadProblem(f"{path} has 1,000,000,000,000 bytes: that is no registry")


def test_a_file_behind_a_closed_directory_is_a_problem(ordinary_folder):
    closed = ordinary_folder / "closed"
    closed.mkdir()
    (closed / "registry.yaml").write_text("x")
    closed.chmod(0)

    look = look_at(closed / "registry.yaml")
    closed.chmod(0o700)

    assert look.content.message.endswith("cannot be read: Permission denied")
