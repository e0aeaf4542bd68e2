"""stats() tells encoding that holds the interpreter's lock from encoding that leaves it to others, or says nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numbered import NumberedReader, write_chunks

from pyloader import DataLoader, Dataset


class InPython(Dataset):
    """About 2 ms of Python a batch."""

    def batch_encode(self, columns):
        total = 0
        for number in range(40_000):
            total += number
        return columns


class InNumpy(Dataset):
    """About 1 ms of a function of NumPy's that leaves the lock, into memory that is there."""

    numbers, out = np.random.default_rng(0).random(200_000), threading.local()

    def batch_encode(self, columns):
        if not hasattr(self.out, "array"):
            self.out.array = np.empty_like(self.numbers)
        np.exp(self.numbers, out=self.out.array)
        return columns


class Waiting(Dataset):
    """Waits as one that asks a disk or a server."""

    def batch_encode(self, columns):
        threading.Event().wait(0.002)
        return columns


def stats_of(directory, dataset, num_workers):
    with DataLoader(
        NumberedReader(), dataset, data_dir=directory, batch_size=8, num_workers=num_workers, num_epochs=2
    ) as loader:
        for _ in loader:
            pass
        return loader.stats()


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize(("dataset", "wrong"), [(InPython(), False), (InNumpy(), True), (Waiting(), True)])
def test_nothing_wrong_is_said_of_who_holds_the_lock(tmp_path, dataset, wrong, num_workers):
    # On a machine with other work to do, nothing may be said: but never the contrary.
    stats = stats_of(write_chunks(tmp_path, [200] * 4), dataset, num_workers)
    assert stats.bound_by == "encode"
    assert stats.holds_lock is not wrong
    assert 0 <= stats.num_held_up <= stats.num_waits <= stats.num_steps
    assert 0 < stats.processor_share < 1.1


def test_inline_nobody_waits_for_another_thread(tmp_path):
    stats = stats_of(write_chunks(tmp_path, [200] * 4), InPython(), 0)
    assert (stats.num_waits, stats.processor_share, stats.holds_lock) == (0, 0.0, None)
