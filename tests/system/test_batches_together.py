"""Batches that go to a process together are those that go there one by one, in content, place, errors and deaths."""

from __future__ import annotations

import os
import re
import signal

import numpy as np
import pytest
from numbered import NumberedReader, ids_of, loader_of, write_chunks

from pyloader import DataLoader, Dataset
from pyloader.errors import BadRowsError, WorkerDiedError
from pyloader.run.run import ChunkRun

COUNTS = [64, 0, 100, 33, 50, 128, 25]
ONE = {"worker_kind": "process", "num_workers": 1, "num_readers": 1}


@pytest.fixture(autouse=True)
def together(monkeypatch):
    """Have four batches go together, however long they take; note how many went."""
    num_asked = []
    monkeypatch.setattr(ChunkRun, "_num_together", lambda run, columns: num_asked.append(4) or 4)
    yield
    assert num_asked


class Numbers(Dataset):
    """Encodes texts as their numbers, and fails, or dies, at some of them."""

    def __init__(self, *, fails=None, dies=None):
        self.fails, self.dies = fails, dies

    def batch_encode(self, columns, rng, keys):
        numbers = [int(text.split()[1]) for text in columns["text"]]
        if self.fails in numbers:
            raise BadRowsError({numbers.index(self.fails): ValueError("odd")})
        if self.dies in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"id": columns["id"], "number": np.array(numbers), "key": keys, "drawn": rng.integers(9, size=len(keys))}


def loader(directory, dataset=None, **options):
    parts = NumberedReader(text=True), dataset or Numbers(), None, directory
    return DataLoader(*parts, batch_size=8, shuffle=True, seed=3, **options)


@pytest.mark.slow
@pytest.mark.parametrize("last_batch", ["keep", "pad", "wrap", "drop"])
def test_they_are_those_of_the_inline_loader(tmp_path, last_batch):
    directory = write_chunks(tmp_path, COUNTS)
    options = {"last_batch": last_batch, "shuffle_window": 3, "num_epochs": 2}
    wanted = list(loader(directory, num_workers=0, **options))
    with loader(directory, **ONE, **options) as batches:
        np.testing.assert_equal(list(batches), wanted)


@pytest.mark.slow
def test_lists_without_a_dataset_go_together_too(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    wanted = ids_of(loader_of(directory, text=True, batch_size=8, num_workers=0))
    with loader_of(directory, text=True, batch_size=8, **ONE) as batches:
        assert ids_of(batches) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_state_amid_them_goes_on_with_the_next_batch(tmp_path, step):
    directory = write_chunks(tmp_path, COUNTS)
    wanted = list(loader(directory, num_workers=0))
    with loader(directory, **ONE) as batches:
        for _ in range(step):
            next(batches)
        state = batches.state_dict()
    with loader(directory, **ONE) as batches:
        batches.load_state_dict(state)
        np.testing.assert_equal(list(batches), wanted[step:])


@pytest.mark.slow
def test_a_failure_comes_after_the_batches_before_it_with_its_step_and_row_and_leaves_the_state_there(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    wanted = [batch["id"].tolist() for batch in loader(directory, num_workers=0)]
    failing = wanted[6][2]  # amid four that go together
    chunk = int(np.searchsorted(starts := np.cumsum([0, *COUNTS]), failing, side="right")) - 1
    place = f"chunk-000{chunk}.numbered, row {failing - starts[chunk]}: odd (epoch 0, step 6)"
    with loader(directory, Numbers(fails=failing), **ONE) as batches:
        assert [next(batches)["id"].tolist() for _ in range(6)] == wanted[:6]
        before = batches.state_dict()
        for _ in range(2):
            with pytest.raises(BadRowsError, match=re.escape(place)):
                next(batches)
        state = batches.state_dict()
        assert state == before
    with loader(directory, **ONE) as batches:
        batches.load_state_dict(state)
        assert next(batches)["id"].tolist() == wanted[6]


@pytest.mark.slow
def test_a_process_that_dies_takes_no_batch_along_and_its_step_is_named(tmp_path):
    directory = write_chunks(tmp_path, COUNTS)
    wanted = [batch["id"].tolist() for batch in loader(directory, num_workers=0)]
    with loader(directory, Numbers(dies=wanted[6][2]), **ONE) as batches:
        assert [next(batches)["id"].tolist() for _ in range(6)] == wanted[:6]
        with pytest.raises(WorkerDiedError, match=r"SIGKILL while Numbers and .* made epoch 0, step 6"):
            next(batches)
