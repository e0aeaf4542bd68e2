"""Law 3, what random access has beside tests/system: samplers, lazy operations, and orders that are pinned."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_numbers import RULES, ids_of

from pyloader.indexed import (
    DataLoader,
    IIDSampler,
    PermutationSampler,
    RangeDataset,
    SequentialSampler,
    WeightedSampler,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "indexed.json"


@pytest.mark.slow
@settings(max_examples=60)
@given(
    num_workers=st.integers(0, 4),
    prefetch_size=st.integers(0, 9),
    rule=st.sampled_from([*RULES, "span"]),
    sampler=st.sampled_from([None, IIDSampler(53, 3), WeightedSampler(range(53), 3)]),
)
def test_threads_and_prefetching_change_nothing_of_any_samplers_order(num_workers, prefetch_size, rule, sampler):
    def batches_of(num_workers, prefetch_size):
        with DataLoader(
            {"data": np.arange(53)},
            None,
            num_workers,
            7,
            prefetch_size,
            sampler=sampler,
            last_batch=rule,
            num_epochs=None if rule == "span" else 9,
        ) as loader:
            return ids_of(islice(loader, 60))

    assert batches_of(num_workers, prefetch_size) == batches_of(0, 4)


def golden_cases():
    samplers = {
        "permutation": PermutationSampler(23, 5),
        "a long permutation": PermutationSampler(2**18 + 1, 5),
        "sequential": SequentialSampler(23),
        "iid": IIDSampler(23, 5),
        "weighted": WeightedSampler(range(23), 5),
    }
    rules = ["span", "keep", "drop", "pad", "wrap"]
    return {f"{name}, {rule}": (sampler, rule) for name, sampler in samplers.items() for rule in rules}


@pytest.mark.parametrize("case", golden_cases())
def test_batches_are_those_of_every_earlier_version(case):
    """ORDER CHANGE: when this fails, so do the runs that users go on with."""
    sampler, rule = golden_cases()[case]
    source = {"data": RangeDataset(0, sampler.length)}
    with DataLoader(source, None, 0, 7, sampler=sampler, last_batch=rule, num_epochs=None) as loader:
        assert ids_of(islice(loader, 7)) == json.loads(GOLDEN.read_text())[case]


def test_lazy_operations_give_the_items_of_every_earlier_version():
    numbers = RangeDataset(0, 30)
    train, test = numbers.train_test_split(0.3, seed=5)
    made = {
        "shuffle": numbers.shuffle(5),
        "sample": numbers.sample(20, 5),
        "sample with replacement": numbers.sample(20, 5, replacement=True),
        "mix": numbers.mix(RangeDataset(100, 200), weights=[2, 3]),
        "train": train,
        "test": test,
    }
    assert {name: list(dataset) for name, dataset in made.items()} == json.loads(GOLDEN.read_text())["operations"]


def test_lazy_operations_neither_read_nor_change_the_global_random_state():

    def everything():
        with DataLoader(RangeDataset(0, 50).shuffle(1).sample(40, replacement=True), batch_size=9) as loader:
            return ids_of(islice(loader, 12))

    np.random.seed(1)
    random.seed(1)
    before, found = (np.random.get_state()[1].tolist(), random.getstate()), everything()
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    np.random.seed(2)
    random.seed(2)
    assert everything() == found
