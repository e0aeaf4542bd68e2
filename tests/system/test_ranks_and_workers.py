"""Ranks and process workers together: the same batches, and randomness that is each rank's own."""

from __future__ import annotations

import pytest
from numbered import NumberedReader
from ranks import global_batches, rank_loaders, write_counted

from pyloader import DataLoader, Dataset, World

pytest.importorskip("cloudpickle")

COUNTS = [30, 17, 44, 23, 8, 60]


class Noise(Dataset):
    """Adds a number drawn for each sample."""

    def batch_encode(self, columns, rng):
        return {**columns, "noise": rng.integers(10**9, size=len(columns["id"]))}


@pytest.mark.slow
def test_ranks_with_process_workers_have_the_batches_of_ranks_without(tmp_path):
    directory = write_counted(tmp_path, COUNTS)
    options = {"batch_size": 8, "shuffle": True, "last_batch": "drop"}
    inline = global_batches(rank_loaders(directory, 2, **options))
    loaders = rank_loaders(directory, 2, num_workers=1, worker_kind="process", **options)
    assert global_batches(loaders) == inline


@pytest.mark.slow
@pytest.mark.parametrize("worker_kind", ["thread", "process"])
def test_what_batch_encode_draws_is_the_same_for_any_workers_and_another_on_each_rank(tmp_path, worker_kind):
    directory = write_counted(tmp_path, COUNTS)

    def noise(rank, **workers):
        with DataLoader(
            NumberedReader(),
            Noise(),
            data_dir=directory,
            batch_size=8,
            last_batch="drop",
            world=World(rank, 2),
            max_queue_size=100,
            **workers,
        ) as loader:
            return [batch["noise"].tolist() for batch in loader]

    drawn = [noise(rank, num_workers=2, worker_kind=worker_kind) for rank in (0, 1)]
    assert drawn == [noise(rank, num_workers=0) for rank in (0, 1)]
    assert drawn[0] != drawn[1]
