"""Memory that is used again: never while somebody still looks at it."""

from __future__ import annotations

import gc
import pickle
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from pyloader.machine import memory as memory_module
from pyloader.machine.memory import RecycledMemory, counts_tell, unused_bytes

SHAPE, DTYPE = (1024, 64), np.dtype(np.float32)  # 256 KiB


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_a_block_that_nobody_uses_is_handed_out_again():
    memory = RecycledMemory()
    first = memory.empty(SHAPE, DTYPE)
    block = weakref.ref(first.base)  # its address may be that of a new one
    del first
    assert memory.empty(SHAPE, DTYPE).base is block()


def test_a_block_in_use_is_never_handed_out():
    memory = RecycledMemory()
    arrays = [memory.empty(SHAPE, DTYPE) for _ in range(50)]  # more than it remembers
    assert len({address(array) for array in arrays}) == 50
    for number, array in enumerate(arrays):
        array[:] = number
    assert all((array == number).all() for number, array in enumerate(arrays))


@pytest.mark.slow
def test_a_view_keeps_its_block():
    views = [
        lambda array: array[3:5],
        lambda array: array.view(np.uint8).reshape(-1)[:7],
        lambda array: memoryview(array),
        lambda array: np.frombuffer(array, np.uint8),
        lambda array: np.asarray(array.T[2]),
    ]
    for view in views:
        memory = RecycledMemory()
        array = memory.empty(SHAPE, DTYPE)
        where, kept = address(array), view(array)
        del array
        gc.collect()
        other = memory.empty(SHAPE, DTYPE)
        assert address(other) != where
        del kept
        assert address(memory.empty(SHAPE, DTYPE)) == where


def test_the_block_that_was_used_last_is_used_again_first():
    memory = RecycledMemory()
    arrays = [memory.empty(SHAPE, DTYPE) for _ in range(3)]
    where = [address(array) for array in arrays]
    del arrays[0], arrays[1]  # the middle one stays in use
    again = memory.empty(SHAPE, DTYPE)
    assert address(again) == where[2]
    del again
    assert address(memory.empty(SHAPE, DTYPE)) == where[2]


def test_a_block_serves_what_is_at_least_half_as_large():
    memory = RecycledMemory()
    sizes = [2**20, 2**19, 2**19 - 1]
    blocks = [memory.empty((size,), np.dtype(np.uint8)).base.nbytes for size in sizes]
    assert blocks == [2**20, 2**20, 2**19 - 1]


def test_blocks_in_use_and_one_that_fits_no_longer_stay_known():
    memory = RecycledMemory()
    kept = memory.empty(SHAPE, DTYPE)
    idle, others = [memory.empty((size,), np.dtype(np.uint8)) for size in (2**20, 2**18)], []
    gone = [weakref.ref(array.base) for array in idle]
    del idle
    for size in (2**21, 2**22):
        others.append(memory.empty((size,), np.dtype(np.uint8)))
        assert sum(known() is None for known in gone) == len(others)
    memory.unused_bytes(forget=True)
    assert len(memory._blocks) == 1 + len(others)
    block = weakref.ref(kept.base)
    del kept
    assert memory.empty(SHAPE, DTYPE).base is block()


def test_memories_that_are_gone_are_forgotten():
    RecycledMemory()
    before = len(memory_module._memories)
    for _ in range(3):
        RecycledMemory()
    assert len(memory_module._memories) <= before


def test_there_are_no_more_blocks_than_arrays_were_in_use_at_once():
    memory = RecycledMemory()
    for size in range(17, 25):
        memory.empty((2**size,), np.dtype(np.uint8))
    assert len(memory._blocks) == 1


def test_small_arrays_and_arrays_of_objects_are_made_by_numpy():
    memory = RecycledMemory()
    assert memory.empty((3, 0), DTYPE).shape == (3, 0)
    assert memory.empty((), DTYPE).shape == ()
    assert memory.empty((2**20,), np.dtype(object))[0] is None
    assert not memory._blocks


def test_a_copy_by_pickle_begins_without_memory():
    memory = RecycledMemory(max_blocks=3)
    memory.empty(SHAPE, DTYPE)
    copy = pickle.loads(pickle.dumps(memory))
    assert (len(memory._blocks), len(copy._blocks), copy._blocks.maxlen) == (1, 0, 3)


@pytest.mark.slow
def test_threads_never_get_the_same_block():
    memory = RecycledMemory()

    def work(number: int) -> bool:
        whole = True
        for turn in range(2000):
            array = memory.empty((2**16 + number,), np.dtype(np.uint8))
            array[:8] = array[-8:] = (number * 31 + turn) % 251
            kept = array[-8:]
            del array
            whole &= bool((kept == (number * 31 + turn) % 251).all())
        return whole

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)


def test_memory_that_is_kept_for_reuse_can_be_counted_and_freed():
    memory = RecycledMemory()
    kept = memory.empty((100_000,), np.dtype(np.uint8))
    gone = weakref.ref(memory.empty((200_000,), np.dtype(np.uint8)).base)
    assert memory.unused_bytes() == 200_000
    assert unused_bytes() >= 200_000  # of all memories that this process has
    unused_bytes(forget=True)
    assert gone() is None
    assert memory.unused_bytes() == 0
    kept[:] = 7
    assert (memory.empty((100_000,), np.dtype(np.uint8)) is not kept) and (kept == 7).all()


@pytest.fixture
def untried() -> Iterator[None]:
    """Have counts tried anew, here and after the test."""
    counts_tell.cache_clear()
    yield
    counts_tell.cache_clear()


def test_counts_tell_on_every_interpreter_that_is_supported(untried: None) -> None:
    assert counts_tell()


@pytest.mark.parametrize("count", [2, 2**32 - 1])
def test_where_counts_do_not_tell_all_memory_is_fresh(
    untried: None, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """As where objects are held without being counted, or are immortal."""
    monkeypatch.setattr(memory_module, "sys", SimpleNamespace(getrefcount=lambda block: count))
    memory = RecycledMemory()
    assert not counts_tell()
    assert memory.empty(SHAPE, DTYPE).base is None
    assert not memory._blocks
