"""A cache lies on a disk of this machine, belongs to one user, and takes no directory that holds something else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from pyloader.errors import CacheError
from pyloader.files.cache import cache_directory, disks


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PYLOADER_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def mounted(monkeypatch, tmp_path, place, kind):
    """Let the system say that a disk of some kind is mounted at a place."""
    mounts = tmp_path / "mountinfo"
    escaped = str(place).replace(" ", r"\040")
    mounts.write_text(
        f"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:40 / {escaped} rw shared:1 - {kind} server:/export rw\n"
    )
    monkeypatch.setattr(disks, "_MOUNTS", mounts)


def test_by_default_it_is_in_the_users_home_and_for_nobody_else(tmp_path):
    directory = cache_directory()
    assert directory.root == tmp_path / "home/.cache/pyloader/chunks"
    assert directory.root.stat().st_mode & 0o777 == 0o700
    assert cache_directory() == directory
    assert directory.bound() is None


def test_a_variable_of_the_environment_names_another(tmp_path, monkeypatch):
    monkeypatch.setenv("PYLOADER_CACHE", "~/elsewhere")
    assert cache_directory().root == tmp_path / "home/elsewhere"
    assert cache_directory(tmp_path / "given").root == tmp_path / "given"


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "fuse.s3fs", "9p"])
def test_on_a_network_disk_a_given_directory_is_refused_and_the_usual_one_replaced(kind, tmp_path, monkeypatch, caplog):
    home = tmp_path / "home of all"
    monkeypatch.setenv("HOME", str(home))
    mounted(monkeypatch, tmp_path, home, kind)
    told = (
        rf"lies on a disk that is not this machine's own \({kind}, at .*home of all\)\. Give a directory on a disk of"
    )
    with pytest.raises(CacheError, match=told):
        cache_directory(home / "cache")
    assert not home.exists()
    directory = cache_directory()
    assert directory.root == tmp_path / f"temporary/pyloader-{os.getuid()}"
    assert directory.root.stat().st_mode & 0o777 == 0o700
    assert f"the cache is in {directory.root}: {home}/.cache/pyloader/chunks lies on a disk" in caplog.text


def test_where_the_home_cannot_be_written_it_is_with_the_temporary_files(tmp_path, monkeypatch, caplog):
    (tmp_path / "home").write_text("no directory")
    assert cache_directory().root == tmp_path / f"temporary/pyloader-{os.getuid()}"
    assert "~/.cache/pyloader/chunks cannot be made: [Errno 20] Not a directory" in caplog.text


def test_a_user_without_a_home_has_it_with_the_temporary_files(tmp_path, monkeypatch, caplog):
    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert cache_directory().root == tmp_path / f"temporary/pyloader-{os.getuid()}"
    assert "cannot be made: Could not determine home directory." in caplog.text


@pytest.mark.parametrize("excludes", ["nothing", "an error"])
def test_where_a_lock_excludes_nobody_it_is_refused(excludes, tmp_path, monkeypatch):
    def locks(descriptor, operation):
        if excludes == "an error":
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", locks)
    with pytest.raises(CacheError, match=r"given lies on a disk where files cannot be locked\. Give a directory"):
        cache_directory(tmp_path / "given")


def test_a_directory_in_which_others_may_write_is_refused(tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    given.chmod(0o775)
    with pytest.raises(CacheError, match=rf"given can be written by others.*chmod go-w {given}"):
        cache_directory(given)
    given.chmod(0o755)
    (cache_directory(given).entries).chmod(0o777)
    with pytest.raises(CacheError, match=r"given/entries can be written by others"):
        cache_directory(given)


def test_a_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(CacheError, match=rf"given belongs to another user \(number {os.getuid()}\)"):
        cache_directory(tmp_path / "given")


def test_a_link_out_of_the_directory_is_not_followed(tmp_path):
    directory = cache_directory(tmp_path / "given")
    directory.entries.rmdir()
    (tmp_path / "elsewhere").mkdir()
    directory.entries.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match=r"given/entries is a link or a file, where the cache has a directory"):
        cache_directory(tmp_path / "given")


def test_a_directory_that_holds_something_else_is_refused_and_not_touched(tmp_path):
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks/a.jsonl").write_text("{}")
    with pytest.raises(CacheError, match=r"chunks is no cache, and holds a\.jsonl\. Give an empty directory"):
        cache_directory(tmp_path / "chunks")
    assert os.listdir(tmp_path / "chunks") == ["a.jsonl"]


def test_a_look_makes_nothing(tmp_path):
    for given in (tmp_path / "given", None):
        with pytest.raises(CacheError, match="is not there"):
            cache_directory(given, make=False)
    assert not (tmp_path / "given").exists()
    assert not (tmp_path / "home").exists()


def test_a_cache_of_a_later_version_is_refused_by_name(tmp_path):
    directory = cache_directory(tmp_path / "given")
    mark = directory.root / "pyloader-cache.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "version": 2}))
    with pytest.raises(CacheError, match=r"pyloader-cache\.json is of format 'pyloader-cache', version 2"):
        cache_directory(tmp_path / "given")
    mark.write_text("{")
    with pytest.raises(CacheError, match=r"pyloader-cache\.json is damaged\. Remove the directory"):
        cache_directory(tmp_path / "given")


def test_the_disk_of_a_path_is_the_one_that_was_mounted_nearest_and_last(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    lines = [
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/fast", "xfs"),
        ("/data", "ext4"),
        ("/database", "nfs"),
    ]
    mounts.write_text("".join(f"1 1 0:1 / {place} rw - {kind} x rw\n" for place, kind in lines))
    monkeypatch.setattr(disks, "_MOUNTS", mounts)
    assert [bool(disks.unfit_disk(Path(place))) for place in ("/data/a", "/database/a", "/data/fast/a")] == [
        False,
        True,
        False,
    ]
    monkeypatch.setattr(disks, "_MOUNTS", tmp_path / "none")
    assert disks.unfit_disk(Path("/database/a")) == ""
