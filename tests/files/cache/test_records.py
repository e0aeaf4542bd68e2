"""What is removed is what the record of an entry names, whenever the process that removes it is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cache_users import chunk, read

from pyloader.files.cache import cache_directory, register
from pyloader.files.cache.bound import allocate
from pyloader.files.cache.records import RECORD_NAMES, read_record, remove_entry


class Killed(BaseException):
    pass


@pytest.fixture
def entry(tmp_path):
    entry = tmp_path / chunk(1).name
    allocate(entry, chunk(1))
    (entry / RECORD_NAMES[1]).touch()
    (entry / "mine.txt").write_text("mine")
    return entry


@pytest.mark.parametrize("killed_at", ["chunk-00001.bin", *RECORD_NAMES])
def test_a_kill_while_an_entry_is_removed_never_makes_what_is_not_the_caches_look_like_it(
    entry, monkeypatch, killed_at
):
    whole = Path.unlink

    def unlink(path, *, missing_ok=False):
        if path.name == killed_at:
            raise Killed
        whole(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "unlink", unlink)
        remove_entry(entry)
    assert read_record(entry) is not None
    for _ in range(2):
        assert not remove_entry(entry)
        assert [path.name for path in entry.iterdir()] == ["mine.txt"]


def test_of_an_entry_whose_record_is_damaged_all_plain_files_go_and_no_link_is_followed(entry, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/keep").touch()
    (entry / "linked").symlink_to(tmp_path / "elsewhere")
    (entry / RECORD_NAMES[0]).write_bytes(b"\0" * 100)
    assert not remove_entry(entry)
    assert [path.name for path in entry.iterdir()] == ["linked"]
    assert (tmp_path / "elsewhere/keep").exists()


def test_a_link_in_the_place_of_an_entry_is_left_alone(entry, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(entry)
    assert not remove_entry(link)
    assert remove_entry(tmp_path / "nothing")
    assert (entry / "chunk-00001.bin").exists()


def test_what_a_killed_process_was_fetching_gives_way_to_what_is_fetched_next(tmp_path):
    directory = cache_directory(tmp_path / "cache")
    user = register(directory, fetches=1, readers=0, largest=100_000, bound=150_000)
    for left in (7, 3):
        allocate(directory.partial / chunk(left).name, chunk(left))
        read(user, chunk(3))
        assert list(directory.partial.iterdir()) == []
        read(user, chunk(11))
    user.close()
