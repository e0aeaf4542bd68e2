"""max_skipped, what random access has beside tests/system: which item stands in, and how errors name items."""

from __future__ import annotations

import numpy as np
import pytest
from item_numbers import DiskGone, drain, ids_of

from pyloader.errors import CoverageError
from pyloader.indexed import DataLoader, Dataset

KINDS = pytest.mark.parametrize(
    "kind", [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, "worker_kind": "process"}]
)


class Damaged(Dataset):
    """Item i is i; those in `bad` cannot be read."""

    def __init__(self, length, bad):
        self.length, self.bad = length, set(bad)

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.bad:
            raise DiskGone(f"sector {index}")
        return index


@pytest.mark.slow
@KINDS
def test_the_next_good_item_of_the_batch_stands_in_its_place_and_it_is_listed(kind):
    with DataLoader(
        Damaged(30, [0, 7, 19]), batch_size=10, shuffle=False, num_epochs=2, max_skipped=3, **kind
    ) as loader:
        found = ids_of(loader)
        stats = loader.stats()
    assert found[0] == [1, 1, 2, 3, 4, 5, 6, 8, 8, 9]
    assert found[1] == [*range(10, 19), 10]
    assert found[2:] == [list(range(20, 30)), *found[:2], list(range(20, 30))]
    assert stats.skipped == {f"item {index}": f"DiskGone: sector {index}" for index in (0, 7, 19)}
    assert (stats.stand_ins, stats.filled) == (6, 0)
    assert "item 19: DiskGone: sector 19" in str(stats)


@pytest.mark.slow
@KINDS
def test_one_more_is_an_error_as_itself_after_the_batches_before_it(kind):
    with DataLoader(Damaged(60, [0, 17, 44]), None, batch_size=10, shuffle=False, max_skipped=2, **kind) as loader:
        batches, error = drain(loader)
        assert len(batches) == loader.steps_done == 4
    assert type(error) is DiskGone
    assert "item 44 cannot be loaded (DiskGone: sector 44, epoch 0, step 4): one more than max_skipped=2" in str(
        error.__notes__
    )


def test_a_mask_is_false_where_another_stands():
    options = {"batch_size": 4, "shuffle": False, "num_epochs": 1, "last_batch": "pad", "max_skipped": 1}
    with DataLoader({"data": Damaged(6, [5])}, **options) as loader:
        batches = list(loader)
    assert batches[1]["data"].tolist() == [4, 4, 4, 4]
    assert batches[1]["mask"].tolist() == [True, False, False, False]


def test_a_dataset_that_loses_rows_is_an_error_whatever_may_be_skipped():
    class Losing(Damaged):
        def take(self, indices):
            return indices[1:]

    with DataLoader(Losing(30, []), None, 0, 10, max_skipped=30) as loader:
        assert type(drain(loader)[1]) is CoverageError


def test_a_share_is_of_the_items():
    with pytest.raises(ValueError, match="must be a number of items, or a share of them such as \"1%\", not '1'"):
        DataLoader(np.arange(10), max_skipped="1")
