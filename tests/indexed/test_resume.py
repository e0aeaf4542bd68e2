"""Law 4 over random access: after batch k comes batch k + 1, wherever it is."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_numbers import Numbers, flat, ids_of

from pyloader.errors import StateError
from pyloader.indexed import DataLoader, RangeDataset
from pyloader.run.adapters import Wrapper


@settings(max_examples=25)
@given(
    length=st.integers(1, 40),
    batch_size=st.integers(2, 12),
    rule=st.sampled_from(["keep", "pad", "wrap", "span"]),
    num_epochs=st.integers(1, 3),
)
def test_resuming_after_every_batch_continues_with_the_next(length, batch_size, rule, num_epochs):
    num_epochs = None if rule == "span" else num_epochs
    num_batches = 12 if num_epochs is None else num_epochs * -(-length // batch_size)

    def fresh(num_workers):
        return DataLoader(
            {"data": np.arange(length)}, None, num_workers, batch_size, last_batch=rule, num_epochs=num_epochs
        )

    with fresh(0) as loader:
        states, batches = [loader.state_dict()], []
        for batch in islice(loader, num_batches):
            batches += ids_of([batch])
            states.append(json.loads(json.dumps(loader.state_dict())))
    for k, state in enumerate(states):
        with fresh(k % 3) as resumed:
            resumed.load_state_dict(state)
            assert resumed.steps_done == k
            assert ids_of(islice(resumed, num_batches - k if rule == "span" else None)) == batches[k:]
            assert resumed.steps_done == num_batches


def test_the_state_says_what_was_received_not_what_was_made_ahead():
    with DataLoader(np.arange(100), batch_size=4) as loader:
        assert loader.state_dict()["step"] == 0
        for step, _ in enumerate(loader, start=1):
            assert loader.state_dict()["step"] == step
            if step == 7:
                break
        assert loader.steps_done == 7
    assert len(json.dumps(loader.state_dict())) < 1000


def test_a_training_script_that_is_killed_anywhere_sees_each_epoch_whole():
    """`for epoch in range(loader.epochs_done, 3)`, killed after every possible batch."""

    def train(kill_after, state):
        seen = []
        with DataLoader(np.arange(21), batch_size=8, num_epochs=1, num_workers=0) as loader:
            if state is not None:
                loader.load_state_dict(state)
            for _ in range(loader.epochs_done, 3):
                for batch in loader:
                    seen += ids_of([batch])
                    state = json.loads(json.dumps(loader.state_dict()))
                    if len(seen) == kill_after:
                        return seen, state
        return seen, state

    whole, _ = train(None, None)
    assert len(whole) == 9
    for kill_after in range(1, len(whole) + 1):
        before, state = train(kill_after, None)
        after, _ = train(None, state)
        assert before + after == whole


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "no state of version 1 but a NoneType"),
        (lambda state: {**state, "version": 2}, "but version 2"),
        (lambda state: {name: state[name] for name in state if name != "step"}, "lacks 'step'"),
        (lambda state: {**state, "step": -1}, "has step=-1"),
        (lambda state: {**state, "order_digest": "0"}, "a NumPy whose random numbers differ"),
    ],
)
def test_what_is_no_state_is_refused(change, message):
    loader = DataLoader(np.arange(50), batch_size=8)
    with pytest.raises(StateError, match=message):
        loader.load_state_dict(change(loader.state_dict()))


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
        return Wrapper(loader, lambda batch: batch.tolist(), size=3)

    with DataLoader(np.arange(40), batch_size=7, num_epochs=2) as loader:
        wanted = ids_of(loader)
        loader.reset()
        batches = wrapped(loader)
        assert list(islice(batches, 4)) == wanted[:4]
        assert (batches.steps_done, loader.steps_done) == (4, 6)
        with pytest.raises(StateError, match="this DataLoader is wrapped in a Wrapper"):
            loader.state_dict()
        state = json.loads(json.dumps(batches.state_dict()))
        assert list(batches) == wanted[4:]
    with DataLoader(np.arange(40), batch_size=7, num_epochs=2) as loader:
        batches = wrapped(loader)
        batches.load_state_dict(state)
        assert list(batches) == wanted[4:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_peeking_uses_nothing_up(num_workers):
    with DataLoader(np.arange(20), batch_size=8, num_epochs=1, num_workers=num_workers) as loader:
        found = []
        for _ in range(3):
            found.append(loader.peek().tolist())
            assert ids_of([next(loader)]) == found[-1:]
        after = loader.peek().tolist()
        with pytest.raises(StopIteration):
            next(loader)
        assert sorted(flat(found)) == list(range(20))
        assert ids_of(loader)[0] == after


def test_steps_are_skipped_without_being_made():
    everything = [batch.tolist() for batch in DataLoader(RangeDataset(0, 40), batch_size=4, num_epochs=2)]
    with DataLoader(RangeDataset(0, 40), batch_size=4, num_epochs=2) as loader:
        next(loader)
        loader.skip(7)
        assert loader.steps_done == 8
        assert [batch.tolist() for batch in loader] == everything[8:]
    with DataLoader(RangeDataset(0, 40)) as loader, pytest.raises(ValueError, match="num_steps must be at least 0"):
        loader.skip(-1)
