"""What all loaders need at once is within the bound of the cache, and a loader's claim ends with its process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from cache_users import Store, chunk, read

from pyloader.errors import CacheError
from pyloader.files.cache import cache_directory, cache_entries, register, total_bytes
from pyloader.files.cache.identity import room_of_files
from pyloader.files.cache.plans import live_plans


@pytest.fixture
def directory(tmp_path):
    return cache_directory(tmp_path / "cache")


def claim(directory, *, bound=None, fetches=2):
    return register(directory, fetches=fetches, readers=1, largest=100_000, bound=bound)


def test_what_a_loader_needs_beyond_the_bound_is_refused_with_the_arithmetic_and_what_will_do(directory):
    told = r"cache_bytes=200,000, and this loader needs \(fetches: 2 \+ readers: 1\) x 111 kB = 332 kB at once\. "
    with pytest.raises(CacheError, match=told + r"Write cache_bytes=(\d+) or more") as refused:
        claim(directory, bound=200_000)
    enough = int(refused.value.hint.split("=")[1].split()[0])
    with pytest.raises(CacheError):
        claim(directory, bound=enough - 1)
    claim(directory, bound=enough).close()


def test_what_several_loaders_need_together_is_counted_while_they_live(directory):
    first = claim(directory, bound=800_000)
    second = claim(directory)
    with pytest.raises(
        CacheError, match=r"332 kB at once, and 2 others 664 kB\. Close the others, or give this loader"
    ):
        claim(directory)
    first.close()
    first.close()
    claim(directory).close()
    second.close()


def test_the_bound_belongs_to_the_directory_and_is_changed_only_while_nobody_uses_it(directory):
    first = claim(directory, bound=800_000)
    told = (
        rf"has cache_bytes=800,000, and is used by process {os.getpid()}; this loader has cache_bytes=900,000\. Write"
    )
    with pytest.raises(CacheError, match=told):
        claim(directory, bound=900_000)
    claim(directory, bound=800_000).close()
    first.close()
    user = claim(directory, bound=900_000)
    assert user.bound == directory.bound() == 900_000
    user.close()


def test_a_lower_bound_evicts_what_is_beyond_it(directory):
    user = claim(directory, bound=1_500_000)
    for index in range(3, 47, 4):
        read(user, chunk(index))
    user.close()
    assert total_bytes(directory) > 1_200_000
    claim(directory, bound=600_000).close()
    assert total_bytes(directory) <= 600_000
    assert len(cache_entries(directory)) == 5


def test_a_new_cache_may_take_half_of_what_is_free_and_at_least_what_is_needed(directory, monkeypatch):
    class Disk:
        free = 3_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk)
    claim(directory).close()
    assert directory.bound() == 1_500_000
    directory.set_bound(0)
    Disk.free = 100
    directory.root.joinpath("pyloader-cache.json").unlink()
    other = cache_directory(directory.root.with_name("other"))
    claim(other).close()
    assert other.bound() > 332_000


def test_the_claim_of_a_killed_process_ends_though_a_child_of_it_lives(directory):
    read_end, write_end = os.pipe()
    process = os.fork()
    if process == 0:
        held = claim(directory, bound=700_000)  # noqa: F841  until the end
        if os.fork() == 0:
            os.write(write_end, os.getpid().to_bytes(4, "little"))
        signal.pause()
    child = int.from_bytes(os.read(read_end, 4), "little")
    try:
        first = claim(directory)
        with pytest.raises(CacheError, match="and 2 others"):
            claim(directory)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        claim(directory).close()
        first.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)
    assert os.listdir(directory.plans) == []


def test_a_forked_child_neither_ends_the_claim_of_its_parent_nor_moves_its_position(directory):
    user = claim(directory, bound=700_000)
    user.foresee(np.arange(4, dtype=np.uint64), first=0)
    user.advance(1)
    child = os.fork()
    if child == 0:
        user.advance(3)
        user.foresee(np.empty(0, np.uint64), first=0)
        user.close()
        os._exit(0)
    os.waitpid(child, 0)
    with directory.held():
        (plan,) = live_plans(directory.plans)
        assert plan.upcoming().tolist() == [1, 2, 3]
    user.close()


def test_a_plan_is_not_written_where_it_would_take_what_loaders_must_be_able_to_hold(directory):
    user = claim(directory, bound=400_000)
    for num_reads, is_written in ((1_000, True), (10_000, False), (1_000, True)):
        user.foresee(np.arange(num_reads, dtype=np.uint64), first=0)
        with directory.held():
            (plan,) = live_plans(directory.plans)
            assert len(plan.upcoming()) == (num_reads if is_written else 0)
    user.close()


def test_a_closed_loader_writes_no_more(directory):
    user = claim(directory, bound=700_000)
    user.close()
    (directory.root / "other").touch()
    with open(directory.root / "other", "r+b"):  # has the number that the plan had
        user.advance(7)
        user.foresee(np.arange(4, dtype=np.uint64), first=0)
    assert (directory.root / "other").read_bytes() == b""
    assert os.listdir(directory.plans) == []


def test_what_is_no_plan_is_left_alone(directory):
    planted = {"1-00000000": b"x" * 100, "notes.txt": b""}
    for name, data in planted.items():
        (directory.plans / name).write_bytes(data)
    (directory.plans / "2-00000000").touch()  # of a process that was killed before it could write
    claim(directory, bound=700_000).close()
    assert {path.name: path.read_bytes() for path in directory.plans.iterdir()} == planted


def test_the_keys_of_a_plan_are_those_of_reads_that_are_not_done(directory):
    user = claim(directory, bound=700_000)
    for first, position, left in ((0, 0, [5, 6, 7]), (0, 2, [7]), (0, 9, []), (3, 2, [5, 6, 7]), (3, 4, [6, 7])):
        user.foresee(np.array([5, 6, 7], np.uint64), first=first)
        user.advance(position)
        with directory.held():
            (plan,) = live_plans(directory.plans)
            assert plan.upcoming().tolist() == left
    user.close()


def test_a_loader_can_hold_what_it_has_registered_beside_all_others(directory):
    store = Store()
    users = [claim(directory, bound=800_000) for _ in range(2)]
    held = [
        store.get(user, chunk(3 + 4 * (3 * number + index))) for number, user in enumerate(users) for index in range(3)
    ]
    assert all(entry.path.exists() for entry in held)
    for entry in held:
        entry.release()
    for user in users:
        user.close()


def test_a_loader_that_comes_to_a_full_cache_leaves_it_within_its_bound(directory):
    bound = 16 * room_of_files(1) + 2 * room_of_files(0)  # an entry and a plan take as much, and the mark less
    first = register(directory, fetches=1, readers=1, largest=1, bound=bound)
    for index in range(20):
        read(first, chunk(index, size=1))
        assert total_bytes(directory) <= bound
    others = []
    for _ in range(3):
        others.append(register(directory, fetches=1, readers=1, largest=1))
        assert total_bytes(directory) <= bound
    for user in (first, *others):
        user.close()
