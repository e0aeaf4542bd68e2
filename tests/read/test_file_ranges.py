"""The bytes of a file in memory that is used again, when nothing refers to what was read before."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.errors import ChunkReadError
from pyloader.machine.memory import RecycledMemory, counts_tell
from pyloader.read.file_ranges import range_of

SIZE = 2**18


@pytest.fixture
def path(tmp_path) -> str:
    (tmp_path / "x").write_bytes(b"".join(bytes([value]) * SIZE for value in (1, 2, 3)))
    return str(tmp_path / "x")


def read(path: str, number: int, memory: RecycledMemory | None, more: int = 0) -> np.ndarray:
    values = np.frombuffer(range_of(path, number * SIZE, (number + 1) * SIZE + more, memory), np.uint8)
    assert len(values) == SIZE + more
    assert set(values[:SIZE].tolist()) == {number + 1}
    return values


@pytest.mark.skipif(not counts_tell(), reason="reference counts do not tell here what is in use")
def test_a_range_of_about_the_same_size_is_read_into_memory_that_was_left(path):
    memory = RecycledMemory()
    for number, more in [(0, 0), (1, SIZE // 100), (0, 5), (2, 0)]:
        read(path, number, memory, more)
        assert len(memory._blocks) == 1
    held = read(path, 1, memory)
    read(path, 0, memory)
    assert len(memory._blocks) == 2
    del held


def test_a_range_that_is_in_use_keeps_its_bytes(path):
    memory = RecycledMemory()
    held = [read(path, number, memory)[5:] for number in range(3)]
    assert [set(values.tolist()) for values in held] == [{1}, {2}, {3}]


def test_a_range_that_goes_on_after_the_file_is_an_error(path):
    with pytest.raises(ChunkReadError, match="ends early: 262,144 bytes found, 262,145 expected"):
        range_of(path, 2 * SIZE, 3 * SIZE + 1, RecycledMemory())
