"""The entry whose next use is farthest goes first, over the plans of all loaders."""

from __future__ import annotations

import numpy as np
import pytest
from cache_users import Store, chunk, read

from pyloader.files.cache import cache_directory, cache_entries, register
from pyloader.files.cache.eviction import NEVER, eviction_order, next_uses
from pyloader.files.cache.identity import room_of_files

ROOM = room_of_files(1)


def test_the_next_use_of_an_entry_is_that_of_the_loader_that_wants_it_soonest():
    keys = np.array([5, 6, 7, 2**64 - 1], np.uint64)
    plans = [np.array(reads, np.uint64) for reads in ([1, 7, 5, 7], [6, 5], [])]
    assert next_uses(keys, plans).tolist() == [1, 0, 1, NEVER]


def test_unwanted_entries_go_first_and_among_them_the_least_recently_used():
    next_use = np.array([3, NEVER, 9, NEVER, 0])
    assert eviction_order(next_use, np.array([0, 20, 0, 10, 0])).tolist() == [3, 1, 2, 0, 4]


def reads_of_ranks(num_ranks, num_chunks, num_epochs):
    """Return the reads of each rank: parts of a random order, whose borders lie within chunks that two ranks read."""
    draw = np.random.default_rng(3)
    reads: list[list[list[int]]] = [[] for _ in range(num_ranks)]
    for _ in range(num_epochs):
        order = draw.permutation(num_chunks).tolist()
        for rank in range(num_ranks):
            first, stop = (num_chunks * part // num_ranks for part in (rank, rank + 1))
            reads[rank].append(order[max(0, first - 1) : stop])
    return reads


def misses_of_belady(reads, num_kept):
    """Return how often a cache of `num_kept` entries has to fetch, when it knows all reads to come."""
    kept: set[int] = set()
    misses = 0
    for position, wanted in enumerate(reads):
        if wanted not in kept:
            misses += 1
            if len(kept) == num_kept:
                rest = reads[position:]
                kept.remove(max(kept, key=lambda one: rest.index(one) if one in rest else len(rest)))
            kept.add(wanted)
    return misses


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_over_three_epochs_of_four_ranks_as_little_is_fetched_as_by_beladys_rule(tmp_path, share):
    num_ranks, num_chunks, num_epochs = 4, 100, 3
    num_kept = int(share * num_chunks)
    directory, store = cache_directory(tmp_path / "cache"), Store()
    plan_room = num_ranks * room_of_files(40 + 2 * 8 * (num_chunks // num_ranks + 1)) + room_of_files(0)
    bound = num_kept * ROOM + plan_room
    users = [register(directory, fetches=1, readers=1, largest=1, bound=bound) for _ in range(num_ranks)]
    reads = reads_of_ranks(num_ranks, num_chunks, num_epochs)
    keys = np.array([chunk(index, size=1).key for index in range(num_chunks)], np.uint64)
    lines, merged = [[index for epoch in rank for index in epoch] for rank in reads], []
    for turn in range(max(map(len, lines))):
        for user, rank, line in zip(users, reads, lines, strict=True):
            starts = np.cumsum([0, *map(len, rank)]).tolist()
            if turn in starts[:-1]:
                epoch = starts.index(turn)
                user.foresee(keys[np.concatenate(rank[epoch : epoch + 2])], first=turn)
            if turn < len(line):
                user.advance(turn)
                read(user, chunk(line[turn], size=1), store)
                merged.append(line[turn])
    assert len(cache_entries(directory)) == num_kept
    for user in users:
        user.close()
    assert len(store.asked) <= 1.03 * misses_of_belady(merged, num_kept)


def test_without_plans_the_least_recently_used_goes_first(tmp_path):
    directory, store = cache_directory(tmp_path / "cache"), Store()
    user = register(directory, fetches=1, readers=1, largest=1, bound=6 * ROOM)
    for index in (0, 1, 2, 0, 3, 4):
        read(user, chunk(index, size=1), store)
    user.close()
    assert store.asked == [f"chunk-0000{index}.bin" for index in (0, 1, 2, 3, 4)]
    assert [entry.url[-9:-4] for entry in cache_entries(directory)] == ["00000", "00002", "00003", "00004"]


def test_entries_of_a_plan_stay_when_others_need_room(tmp_path):
    directory, store = cache_directory(tmp_path / "cache"), Store()
    plans, wants = (register(directory, fetches=1, readers=0, largest=1, bound=7 * ROOM) for _ in range(2))
    reads = [chunk(index, size=1) for index in (7, 8)]
    for identity in reads:
        read(plans, identity, store)
    plans.foresee(np.array([identity.key for identity in reads], np.uint64), first=0)
    for index in range(5):
        read(wants, chunk(index, size=1), store)
    kept = {entry.url[-9:-4] for entry in cache_entries(directory)}
    assert kept >= {"00007", "00008"}
    plans.advance(1)
    for index in range(5, 7):
        read(wants, chunk(index, size=1), store)
    kept = {entry.url[-9:-4] for entry in cache_entries(directory)}
    assert "00008" in kept
    assert "00007" not in kept
    plans.close()
    for index in range(9, 13):
        read(wants, chunk(index, size=1), store)
    assert "00008" not in {entry.url[-9:-4] for entry in cache_entries(directory)}
    wants.close()


@pytest.mark.slow
def test_of_many_entries_those_that_would_be_next_go_too_and_of_few_none(tmp_path):
    for num_kept, num_gone in ((100, 1), (260, 2)):
        directory = cache_directory(tmp_path / f"cache of {num_kept}")
        bound = num_kept * ROOM + room_of_files(0) + room_of_files(40)
        user = register(directory, fetches=1, readers=0, largest=1, bound=bound)
        for index in range(num_kept + 1):
            read(user, chunk(index, size=1))
        assert len(cache_entries(directory)) == num_kept + 1 - num_gone
        user.close()
