"""The account says that there is room without a listing, and is never below what the entries take."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from cache_users import Store, chunk, read

from pyloader.files.cache import CacheDirectory, CacheUser, account, bound, cache_directory, register
from pyloader.files.cache.account import noted_bytes
from pyloader.files.cache.identity import room_of_name


@pytest.fixture
def directory(tmp_path: Path) -> CacheDirectory:
    return cache_directory(tmp_path / "cache")


def user_of(directory: CacheDirectory, **options: int) -> CacheUser:
    given = {"fetches": 1, "readers": 2, "largest": 100_000, "bound": 1_000_000}
    return register(directory, **{**given, **options})


def entries_take(directory: CacheDirectory) -> int:
    return sum(room_of_name(name) for name in bound.entry_names(directory.entries))


def test_where_there_is_room_the_directory_is_not_listed_for_it(
    directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []
    names = bound.entry_names
    monkeypatch.setattr(bound, "entry_names", lambda place: listed.append(place.name) or names(place))
    user = user_of(directory, bound=700_000)
    read(user, chunk(0))
    assert listed.count("entries") == 1  # when the loader was made
    for index in range(1, 30):  # until nothing more fits, and something goes
        read(user, chunk(index))
        if listed.count("entries") > 1:
            break
    assert entries_take(directory) > 350_000
    assert index > 3
    user.close()


@pytest.mark.slow
def test_it_is_never_below_the_truth(directory: CacheDirectory) -> None:
    drawn = random.Random(5)
    users = [user_of(directory), user_of(directory)]
    store = Store()
    for _ in range(150):
        with store.get(drawn.choice(users), chunk(drawn.randrange(40))):
            noted = noted_bytes(directory)
            assert noted is not None and entries_take(directory) <= noted <= 1_000_000
        if drawn.random() < 0.1:
            gone = drawn.choice(bound.entry_names(directory.entries))
            with directory.held():
                bound.evict(directory, gone)
    for user in users:
        user.close()


@pytest.mark.parametrize("what", ["another boot", "another directory", "nothing", "half"])
def test_what_was_written_elsewhere_is_not_believed(
    directory: CacheDirectory, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    user = user_of(directory)
    read(user, chunk(0))
    assert noted_bytes(directory) is not None
    if what == "another boot":
        monkeypatch.setattr(account, "boot_of_machine", lambda: "another")
    elif what == "another directory":  # a copy
        directory.entries.rename(directory.root / "before")
        directory.entries.mkdir()
    else:
        data = directory.lock_file.read_bytes()
        directory.lock_file.write_bytes(data[:-1] if what == "half" else b"")
    assert noted_bytes(directory) is None
    user.close()


def test_what_others_have_put_there_counts_when_the_next_loader_is_made(directory: CacheDirectory) -> None:
    user = user_of(directory)
    read(user, chunk(0))
    (there,) = directory.entries.iterdir()
    there.with_name(f"{'a' * 32}{900_000:012x}").mkdir()
    user.close()
    user = user_of(directory)
    assert (noted_bytes(directory) or 0) >= 900_000
    user.close()
