"""Tracing: the numbers that travel with the rows are those of the samples that arrive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered import loader_of, numbers_of_latest, write_chunks

from pyloader.plan import STAND_IN, sample_numbers

COUNTS = [9, 0, 14, 1, 23, 8]
STARTS = np.cumsum([0, *COUNTS])


def traced(directory: Path, **options: Any) -> Any:
    loader = loader_of(directory, **options)
    loader._options = replace(loader._options, run=replace(loader._options.run, traced=True))
    return loader


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad", "wrap"])
@pytest.mark.parametrize("order", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_window": 1}, {"copy": False}])
def test_every_row_carries_the_number_of_its_sample(
    tmp_path: Path, order: dict[str, Any], last_batch: str, text: bool, num_workers: int
) -> None:
    directory = write_chunks(tmp_path, COUNTS)
    options = {"batch_size": 4, "last_batch": last_batch, "num_epochs": 2, "num_workers": num_workers, **order}
    num_filled = 0
    with traced(directory, text=text, **options) as loader:
        for batch, plain in zip(loader, loader_of(directory, text=text, **options), strict=True):
            assert batch.keys() == plain.keys()
            numbers = numbers_of_latest(loader)
            is_stand_in = (numbers & STAND_IN) != 0
            num_filled += is_stand_in.sum()
            chunk, row = (numbers & ~STAND_IN) >> np.uint64(32), numbers & np.uint64(2**32 - 1)
            assert (STARTS[chunk] + row.astype(int)).tolist() == batch["id"].tolist() == plain["id"].tolist()
            if last_batch == "pad":
                assert (~is_stand_in).tolist() == batch["mask"].tolist()
        assert num_filled == loader.stats().filled


def test_a_number_holds_the_chunk_and_the_row() -> None:
    assert sample_numbers(7, np.array([0, 5])).tolist() == [7 << 32, (7 << 32) + 5]
    assert sample_numbers(np.array([1, 7]), np.array([0, 5])).tolist() == [1 << 32, (7 << 32) + 5]
