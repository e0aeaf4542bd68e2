"""Law 4: a fresh loader, given the state after batch k, continues with batch k + 1, for every k, again and again."""

from __future__ import annotations

import json
import logging
import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import NotingReader, ids_of, loader_of, write_chunks
from products import examples
from ranks import through_json

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import StateError

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 0]


@pytest.mark.slow
@settings(max_examples=examples(50))
@given(
    counts=st.lists(st.integers(0, 25), min_size=1, max_size=7).filter(any),
    batch_size=st.integers(1, 20),
    window=st.none() | st.integers(1, 8),
    last_batch=st.sampled_from(["keep", "pad", "wrap"]),
    text=st.booleans(),
    num_epochs=st.integers(1, 2),
    counted=st.booleans(),
)
def test_resuming_after_every_batch_continues_with_the_next(source, counts, **options):
    with source.loader(counts, num_workers=0, **options) as loader:
        states, batches = [through_json(loader.state_dict())], []
        for batch in loader:
            batches += ids_of([batch])
            states.append(through_json(loader.state_dict()))
    for k, state in enumerate(states):
        with source.loader(counts, num_workers=k % 3, **options) as resumed:
            resumed.load_state_dict(state)
            assert resumed.steps_done == k
            assert ids_of(resumed) == batches[k:]
            assert resumed.steps_done == len(batches)


@pytest.mark.slow
def test_resuming_again_and_again_is_the_uninterrupted_run(source):
    options = {"batch_size": 7, "window": 4, "num_epochs": None}
    with source.loader(COUNTS, **options) as uninterrupted:
        wanted = ids_of(islice(uninterrupted, 200))
    found, state, chance = [], None, random.Random(0)
    while len(found) < 200:
        with source.loader(COUNTS, num_workers=chance.randrange(3), **options) as loader:
            if state is not None:
                loader.load_state_dict(state)
            found += ids_of(islice(loader, chance.randrange(12)))
            state = through_json(loader.state_dict())
    assert found[:200] == wanted


def test_the_state_says_what_was_received_not_what_was_read_ahead(source):
    with source.loader(COUNTS, batch_size=4, window=4) as loader:
        assert loader.state_dict()["step"] == 0
        for step, _ in enumerate(loader, start=1):
            state = loader.state_dict()
            assert loader.state_dict() == state and state["step"] == step
            if step == 7:
                break
        assert loader.steps_done == 7
        assert len(json.dumps(state)) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad", "wrap"])
def test_a_training_script_that_is_killed_anywhere_sees_each_epoch_whole(source, last_batch):
    """The loop of the README: `for epoch in range(loader.epochs_done, 3)`, killed after every possible batch."""

    def train(kill_after, state):
        seen = []
        with source.loader([20, 13, 9], batch_size=8, window=3, last_batch=last_batch, num_workers=0) as loader:
            if state is not None:
                loader.load_state_dict(state)
            for _ in range(loader.epochs_done, 3):
                for batch in loader:
                    seen += ids_of([batch])
                    state = through_json(loader.state_dict())
                    if len(seen) == kill_after:
                        return seen, state
        return seen, state

    whole, _ = train(None, None)
    for kill_after in range(1, len(whole) + 1):
        before, state = train(kill_after, None)
        after, _ = train(None, state)
        assert before + after == whole


def test_a_state_taken_after_break_is_that_of_the_last_batch(source):
    with source.loader(COUNTS, batch_size=5, window=4) as loader:
        whole = ids_of(loader)
        loader.reset()
        for step, _ in enumerate(loader):
            if step == 7:
                break
        state = loader.state_dict()
        rest = ids_of(loader)
    with source.loader(COUNTS, batch_size=5, window=4) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == rest == whole[8:]


def test_a_state_at_a_runs_end_makes_the_next_for_end_at_once(source):
    with source.loader(COUNTS, batch_size=16, window=4) as loader:
        for _ in range(12):
            next(loader)
        state = loader.state_dict()
        assert loader.epochs_done == 0
        assert list(loader) == []
        assert loader.epochs_done == 1
        next_epoch = ids_of(loader)
    with source.loader(COUNTS, batch_size=16, window=4) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == []
        assert ids_of(resumed) == next_epoch


def test_worker_counts_and_queues_may_change(source):
    with source.loader(COUNTS, batch_size=8, window=4, num_workers=2, ahead=15) as loader:
        next(loader)
        state, rest = loader.state_dict(), ids_of(loader)
    with source.loader(COUNTS, batch_size=8, window=4, num_workers=0, ahead=0) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == rest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "NoneType"),
        (lambda state: {**state, "version": 99}, "version 99"),
        (lambda state: {name: state[name] for name in state if name != "step"}, "lacks 'step'"),
        (lambda state: {**state, "step": -1}, "step=-1"),
        (lambda state: {**state, "order_digest": "0"}, "a NumPy whose random numbers differ"),
    ],
)
def test_what_is_no_state_is_refused(source, change, message):
    with source.loader(COUNTS, batch_size=8, window=4) as loader, pytest.raises(StateError, match=message):
        loader.load_state_dict(change(loader.state_dict()))


def test_peeking_uses_nothing_up(source):
    for num_workers in (0, 2):
        with source.loader([20], batch_size=8, window=1, num_workers=num_workers) as loader:
            found = []
            for _ in range(3):
                found += ids_of([loader.peek()])
                assert ids_of([next(loader)]) == found[-1:]
            after = ids_of([loader.peek()])
            with pytest.raises(StopIteration):
                next(loader)
            assert sorted(number for ids in found for number in ids) == list(range(20))
            assert ids_of(loader)[:1] == after


def test_steps_are_skipped_without_being_made(source):
    everything = ids_of(source.loader([10] * 4, batch_size=4, window=2, num_epochs=2, counted=True))
    with source.loader([10] * 4, batch_size=4, window=2, num_epochs=2, counted=True) as loader:
        next(loader)
        loader.skip(7)
        assert loader.steps_done == 8
        assert ids_of(loader) == everything[8:]
    with source.loader([10]) as loader, pytest.raises(ValueError, match="num_steps must be at least 0"):
        loader.skip(-1)


def test_a_state_saved_before_there_was_a_manifest_loads_afterwards(tmp_path):
    for number in range(5):
        lines = [f'{{"id": {10 * number + row}}}\n' for row in range(10)]
        (tmp_path / f"chunk-{number}.jsonl").write_text("".join(lines))
    options = {"data_dir": tmp_path, "batch_size": 7, "shuffle": True, "num_workers": 0}
    with DataLoader(**options) as loader:
        first = [next(loader)["id"].tolist() for _ in range(3)]
        state = through_json(loader.state_dict())
        rest = [batch["id"].tolist() for batch in loader]
    assert main(["index", str(tmp_path), "-q"]) == 0
    with DataLoader(**options) as resumed:
        assert resumed.steps_per_epoch == len(first) + len(rest)
        resumed.load_state_dict(state)
        assert [batch["id"].tolist() for batch in resumed] == rest


def test_resuming_reads_only_the_window(tmp_path):
    reader = NotingReader()
    directory = write_chunks(tmp_path, [10] * 50)
    options = {"data_dir": directory, "batch_size": 10, "shuffle": True, "shuffle_window": 4, "num_workers": 0}
    with DataLoader(reader, **options) as loader:
        for _ in range(30):
            next(loader)
        state = loader.state_dict()
    reader.read.clear()
    with DataLoader(reader, **options) as resumed:
        resumed.load_state_dict(state)
        next(resumed)
    assert len(reader.read) <= 5


def test_resuming_says_where_and_what_it_read(tmp_path, caplog):
    directory = write_chunks(tmp_path, [10] * 20)
    with loader_of(directory, batch_size=10, shuffle=True) as loader:
        for _ in range(9):
            next(loader)
        state = loader.state_dict()
    with loader_of(directory, batch_size=10, shuffle=True) as resumed, caplog.at_level(logging.INFO, "pyloader"):
        resumed.load_state_dict(state)
        next(resumed)
    assert "resumed at epoch 0, step 9: read 4 chunks in" in caplog.text


def test_other_options_are_refused_by_name(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    state = loader_of(directory, batch_size=8, shuffle=True, seed=0).state_dict()
    with pytest.raises(StateError, match=r"saved with seed=0; this loader has seed=1.*DataLoader\(..., seed=0\)"):
        loader_of(directory, batch_size=8, shuffle=True, seed=1).load_state_dict(state)


def test_other_chunks_are_refused(tmp_path):
    state = loader_of(write_chunks(tmp_path / "a", COUNTS), batch_size=8).state_dict()
    with pytest.raises(StateError, match="saved on other chunks"):
        loader_of(write_chunks(tmp_path / "b", COUNTS[:-1]), batch_size=8).load_state_dict(state)
