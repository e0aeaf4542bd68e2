"""Keys of rows: a transform that draws random numbers draws the same on any number of ranks and workers."""

from __future__ import annotations

import functools
from itertools import islice

import numpy as np
import pytest

from pyloader.indexed import DataLoader, Dataset
from pyloader.plan import row_keys

LENGTH = 22


def with_keys(rows, keys):
    return {"item": rows, "key": keys}


def batches_of(num_batches=12, world=None, batch_size=4, **options):
    options = {"num_epochs": 2, "last_batch": "pad", "seed": 7, **options}
    if options["last_batch"] == "pad":
        data = {"item": np.arange(LENGTH)}
        options["transform"] = lambda rows, keys: {**rows, "key": keys}
    else:
        data = np.arange(LENGTH)
        options["transform"] = with_keys
    with DataLoader(data, batch_size=batch_size, world=world, **options) as loader:
        return list(islice(loader, num_batches))


def test_a_key_is_a_function_of_seed_epoch_and_item():
    for epoch, batches in enumerate(np.array_split(np.array(batches_of(), object), 2)):
        for batch in batches:
            expected = row_keys(batch["item"], seed=7, epoch=epoch)
            np.testing.assert_array_equal((batch["key"] == expected), batch["mask"])
    assert batch["key"].dtype == np.uint64
    assert (batches_of(seed=8)[0]["key"] != row_keys(batches_of(seed=8)[0]["item"], seed=7, epoch=0)).all()


@pytest.mark.parametrize("rule", ["pad", "wrap", "drop", "span"])
def test_the_same_rows_have_the_same_keys_on_any_number_of_ranks(rule):
    options = {"last_batch": rule, "num_epochs": None if rule == "span" else 2, "num_workers": 1}
    alone = batches_of(batch_size=8, num_batches=6, **options)
    shared = [batches_of(world=(rank, 2), num_batches=6, **options) for rank in range(2)]
    for step, batch in enumerate(alone):
        for name in ("item", "key"):
            np.testing.assert_array_equal(np.concatenate([part[step][name] for part in shared]), batch[name])


def test_a_batch_over_two_epochs_has_keys_of_both():
    batches = batches_of(last_batch="span", num_epochs=None, num_batches=11)
    items = np.concatenate([batch["item"] for batch in batches])
    keys = np.concatenate([batch["key"] for batch in batches])
    for epoch in range(2):
        place = slice(epoch * LENGTH, (epoch + 1) * LENGTH)
        np.testing.assert_array_equal(keys[place], row_keys(items[place], seed=7, epoch=epoch))


@pytest.mark.parametrize("rule", ["pad", "wrap"])
def test_a_row_that_fills_up_has_a_key_of_its_own(rule):
    last = batches_of(last_batch=rule, num_batches=6)[-1]
    keys = np.concatenate([batch["key"] for batch in batches_of(last_batch=rule, num_batches=6)])
    assert len(np.unique(keys)) == 24
    np.testing.assert_array_equal(last["key"][2:], row_keys(np.array([22, 23]), seed=7, epoch=0))


class Damaged(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            raise OSError("sector 5")
        return index


def test_a_row_that_stands_in_has_the_key_of_its_place():
    with DataLoader(Damaged(), batch_size=8, shuffle=False, max_skipped=1, transform=with_keys) as loader:
        batch = next(loader)
    assert batch["item"] == [0, 1, 2, 3, 4, 6, 6, 7]
    np.testing.assert_array_equal(batch["key"], row_keys(np.arange(8), seed=42, epoch=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"num_workers": 0}, {"num_workers": 3, "prefetch_size": 16}, {"num_workers": 1, "worker_kind": "process"}],
)
def test_workers_change_no_key(options):
    np.testing.assert_equal(batches_of(**options), batches_of())


def test_a_run_that_resumes_has_the_same_keys():
    expected = batches_of()
    transform = {"transform": lambda rows, keys: {**rows, "key": keys}}
    options = {"batch_size": 4, "num_epochs": 2, "last_batch": "pad", "seed": 7, **transform}
    with DataLoader({"item": np.arange(LENGTH)}, **options) as loader:
        list(islice(loader, 5))
        np.testing.assert_equal(loader.peek(), expected[5])
        state = loader.state_dict()
    with DataLoader({"item": np.arange(LENGTH)}, **options) as loader:
        loader.load_state_dict(state)
        np.testing.assert_equal(next(loader), expected[5])


@pytest.mark.parametrize(
    "transform",
    [
        lambda pair, keys: (pair[0], keys),
        lambda data, label, keys: (data, keys),
        lambda data, label, *, keys: (data, keys),
        lambda pair, keys=None: (pair[0], keys),
        functools.partial(lambda factor, data, label, keys: (data, keys), 2),
    ],
)
def test_a_transform_of_a_pair_may_take_keys(transform):
    with DataLoader(np.arange(8), np.arange(8), batch_size=8, shuffle=False, transform=transform) as loader:
        batch = next(loader)
    np.testing.assert_array_equal(batch["label"], row_keys(batch["data"], seed=42, epoch=0))


def test_keys_that_have_a_value_are_the_users_own():
    def choose(rows, keys=("x",)):
        return {key: rows[key] for key in keys}

    for transform in (choose, functools.partial(choose, keys=["x"])):
        with DataLoader({"x": np.arange(8), "y": np.arange(8)}, batch_size=8, transform=transform) as loader:
            assert list(next(loader)) == ["x"]
