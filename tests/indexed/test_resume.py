"""Law 4, what random access has beside tests/system: seeking, and what a state says of samplers and ranks."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from item_numbers import Numbers, ids_of

from pyloader.errors import StateError
from pyloader.indexed import DataLoader
from pyloader.run.adapters import LoaderAdapter


def test_seeking_is_going_to_a_step_whatever_it_is():
    with DataLoader(np.arange(100), batch_size=7) as loader:
        wanted = ids_of(islice(loader, 60))
        for step in (59, 0, 33):
            loader.seek(step)
            assert ids_of([next(loader)]) == [wanted[step]]
        loader.reset()
        assert ids_of(islice(loader, 3)) == wanted[:3]
        batches = iter(loader)
        batches.seek(50)
        assert ids_of([next(batches)]) == [wanted[50]]


def test_seeking_costs_the_same_everywhere():
    taken = []
    with DataLoader(Numbers(10**6, lambda indices: taken.append(len(indices))), num_workers=0) as loader:
        loader.seek(10**9)
        next(loader)
    assert taken == [256]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"saved with sampler='PermutationSampler\(seed=42\)'; this loader has sampler='Perm.*seed=1"),
        ({"batch_size": 9}, "saved with global_batch_size=8; this loader has global_batch_size=9"),
        ({"shuffle": False}, "this loader has sampler='SequentialSampler'"),
        ({"num_epochs": 1}, "saved with last_batch='span'; this loader has last_batch='keep'"),
    ],
)
def test_a_state_of_another_order_is_refused_by_name(options, message):
    state = DataLoader(np.arange(50), batch_size=8).state_dict()
    with pytest.raises(StateError, match=message):
        DataLoader(np.arange(50), **{"batch_size": 8, **options}).load_state_dict(state)
    with pytest.raises(StateError, match="saved with length=50; this loader has length=51"):
        DataLoader(np.arange(51), batch_size=8).load_state_dict(state)


def test_workers_ranks_and_epochs_may_change():
    with DataLoader(np.arange(50), None, 2, 8, 9, last_batch="wrap", num_epochs=1) as loader:
        next(loader)
        next(loader)
        state, wanted = loader.state_dict(), ids_of([next(loader)])[0]
    for rank in (0, 1):
        with DataLoader(np.arange(50), None, 0, 4, last_batch="wrap", world=(rank, 2)) as resumed:
            resumed.load_state_dict(state)
            assert ids_of([next(resumed)]) == [wanted[4 * rank : 4 * rank + 4]]


def test_a_wrapper_that_takes_batches_ahead_answers_for_the_loop():
    def wrapped(loader):
        return LoaderAdapter(loader, lambda batch: batch.tolist(), size=3)

    with DataLoader(np.arange(40), batch_size=7, num_epochs=2) as loader:
        wanted = ids_of(loader)
        loader.reset()
        batches = wrapped(loader)
        assert list(islice(batches, 4)) == wanted[:4]
        assert (batches.steps_done, loader.steps_done) == (4, 6)
        with pytest.raises(StateError, match="this DataLoader is wrapped in a LoaderAdapter"):
            loader.state_dict()
        state = json.loads(json.dumps(batches.state_dict()))
        assert list(batches) == wanted[4:]
    with DataLoader(np.arange(40), batch_size=7, num_epochs=2) as loader:
        batches = wrapped(loader)
        batches.load_state_dict(state)
        assert list(batches) == wanted[4:]
