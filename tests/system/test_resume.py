"""Law 4: a fresh loader, given the state after batch k, continues with batch k + 1, for every k, again and again."""

from __future__ import annotations

import json
import logging
import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataLoader
from pyloader.cli.main import main
from pyloader.errors import StateError

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 0]


def through_json(state):
    return json.loads(json.dumps(state))


@settings(max_examples=50)
@given(
    counts=st.lists(st.integers(0, 25), min_size=1, max_size=7).filter(any),
    batch_size=st.integers(1, 20),
    window=st.integers(1, 8),
    last_batch=st.sampled_from(["keep", "pad", "wrap"]),
    text=st.booleans(),
    num_epochs=st.integers(1, 2),
    shuffle=st.booleans(),
)
def test_resuming_after_every_batch_continues_with_the_next(tmp_path_factory, counts, window, text, shuffle, **options):
    directory = write_chunks(tmp_path_factory.mktemp("chunks"), counts)
    if shuffle:
        options |= {"shuffle_window": window, "max_queue_size": window + 1}

    def fresh(num_workers):
        return loader_of(directory, shuffle=shuffle, text=text, num_workers=num_workers, **options)

    with fresh(0) as loader:
        states, batches = [through_json(loader.state_dict())], []
        for batch in loader:
            batches += ids_of([batch])
            states.append(through_json(loader.state_dict()))
    for k, state in enumerate(states):
        with fresh(k % 3) as resumed:
            resumed.load_state_dict(state)
            assert resumed.steps_done == k
            assert ids_of(resumed) == batches[k:]
            assert resumed.steps_done == len(batches)


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


def test_resuming_again_and_again_is_the_uninterrupted_run(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    options = {"batch_size": 7, "shuffle": True, "num_epochs": None}
    with loader_of(directory, **options) as uninterrupted:
        wanted = ids_of(islice(uninterrupted, 200))
    found, state, chance = [], None, random.Random(0)
    while len(found) < 200:
        with loader_of(directory, num_workers=chance.randrange(3), **options) as loader:
            if state is not None:
                loader.load_state_dict(state)
            for batch in islice(loader, chance.randrange(12)):
                found += ids_of([batch])
            state = through_json(loader.state_dict())
    assert found == wanted[: len(found)] or found[:200] == wanted


def test_the_state_says_what_was_received_not_what_was_read_ahead(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, batch_size=4, shuffle=True) as loader:
        first = loader.state_dict()
        batches = iter(loader)
        next(batches)
        second = loader.state_dict()
        assert (first["step"], second["step"]) == (0, 1)
        assert loader.state_dict() == second


def test_a_state_at_a_runs_end_makes_the_next_for_end_at_once(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, batch_size=16, shuffle=True) as loader:
        for _ in range(loader.steps_per_epoch or 12):
            next(loader)
        state = loader.state_dict()
        assert loader.epochs_done == 0
        assert list(loader) == []
        assert loader.epochs_done == 1
        next_epoch = ids_of(loader)
    with loader_of(directory, batch_size=16, shuffle=True) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == []
        assert ids_of(resumed) == next_epoch


@pytest.mark.parametrize("last_batch", ["keep", "drop", "pad", "wrap"])
def test_a_training_script_that_is_killed_anywhere_sees_each_epoch_whole(tmp_path, last_batch):
    """The loop of the README: `for epoch in range(loader.epochs_done, 3)`, killed after every possible batch."""
    directory = write_chunks(tmp_path, [20, 13, 9])

    def train(kill_after, state):
        seen = []
        with loader_of(directory, batch_size=8, shuffle=True, last_batch=last_batch, num_workers=0) as loader:
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


def test_a_state_taken_after_break_is_that_of_the_last_batch(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, batch_size=5, shuffle=True) as loader:
        whole = ids_of(loader)
        loader.reset()
        for step, _ in enumerate(loader):
            if step == 7:
                break
        state = loader.state_dict()
        rest = ids_of(loader)
    with loader_of(directory, batch_size=5, shuffle=True) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == rest == whole[8:]


def test_resuming_reads_only_the_window(tmp_path):
    read = []

    class Noting(NumberedReader):
        def read_file(self, path):
            read.append(path)
            return super().read_file(path)

    directory = write_chunks(tmp_path, [10] * 50)
    options = {"data_dir": directory, "batch_size": 10, "shuffle": True, "shuffle_window": 4, "num_workers": 0}
    with DataLoader(Noting(), **options) as loader:
        for _ in range(30):
            next(loader)
        state = loader.state_dict()
    read.clear()
    with DataLoader(Noting(), **options) as resumed:
        resumed.load_state_dict(state)
        next(resumed)
    assert len(read) <= 5


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


def test_worker_counts_and_queues_may_change(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    with loader_of(directory, batch_size=8, shuffle=True, num_workers=2, max_queue_size=20) as loader:
        next(loader)
        state, rest = loader.state_dict(), ids_of(loader)
    with loader_of(directory, batch_size=8, shuffle=True, num_workers=0, max_queue_size=5, num_epochs=1) as resumed:
        resumed.load_state_dict(state)
        assert ids_of(resumed) == rest


def test_other_chunks_are_refused(tmp_path):
    state = loader_of(write_chunks(tmp_path / "a", COUNTS), batch_size=8).state_dict()
    with pytest.raises(StateError, match="saved on other chunks"):
        loader_of(write_chunks(tmp_path / "b", COUNTS[:-1]), batch_size=8).load_state_dict(state)
