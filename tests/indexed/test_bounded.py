"""Law 1, what random access has beside tests/system: so many batches ahead, and nothing that grows with the dataset."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_numbers import Numbers

from pyloader.indexed import (
    DataLoader,
)


@settings(max_examples=15)
@given(num_workers=st.integers(0, 4), prefetch_size=st.integers(0, 9))
def test_no_more_batches_are_ahead_than_prefetch_size_and_workers(num_workers, prefetch_size):
    rows, lock = [0], threading.Lock()

    def count(indices):
        with lock:
            rows[0] += len(indices)

    with DataLoader(Numbers(1000, count), None, num_workers, 10, prefetch_size) as loader:
        for step in range(60):
            next(loader)
            assert rows[0] <= 10 * (step + 1 + prefetch_size + max(1, num_workers) + max(1, num_workers))


@pytest.mark.slow
def test_a_shuffled_shard_of_1e9_items_starts_at_once_in_little_memory():
    script = """
    from pyloader.indexed import DataLoader, RangeDataset
    from pyloader.inspecting.measuring import peak_bytes
    dataset = RangeDataset(0, 10**9)
    before = peak_bytes()
    shard = dataset.shuffle(1).shard(rank=63, world_size=64)
    with DataLoader(shard) as loader:
        assert len(set(next(loader).tolist())) == 256
    with DataLoader(dataset, world=(63, 64)) as loader:
        assert len(set(next(loader).tolist())) == 256
    print(peak_bytes() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 100e6
