"""worker_kind="process" over random access: the same batches, the same ends, and deaths that are told."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from item_numbers import Numbers, drain, flat, ids_of

from pyloader import DataCollator
from pyloader.errors import WorkerDiedError
from pyloader.indexed import DataLoader, InMemoryDataset, NPDataset, RangeDataset
from pyloader.testing.open_resources import children

PROCESS = {"worker_kind": "process"}


@pytest.fixture
def images(tmp_path):
    np.save(tmp_path / "image.npy", np.arange(600, dtype=np.float32).reshape(200, 3))
    with NPDataset(tmp_path / "image.npy") as dataset:
        yield dataset


@pytest.mark.slow
@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_the_batches_are_those_of_the_inline_loader(images, last_batch):
    class Halves(DataCollator):
        def collate_batch(self, columns):
            return {name: values[:] for name, values in columns.items()}

    def brighter(rows):
        return {**rows, "image": rows["image"] * 2}

    def batches(**options):
        texts = InMemoryDataset([str(number) for number in range(200)]).map(lambda text: text * 2).filter(len)
        streams = {"image": images, "text": texts.shuffle(3), "number": RangeDataset(0, 200)}
        options |= {"batch_size": 32, "num_epochs": 2, "last_batch": last_batch}
        with DataLoader(streams, transform=brighter, datacollator=Halves(), **options) as loader:
            return list(loader)

    found = batches(num_workers=2, **PROCESS)
    np.testing.assert_equal(found, batches(num_workers=0))
    assert all(batch["image"].flags.writeable for batch in found)
    assert not children()


@pytest.mark.slow
def test_transform_of_a_pair_goes_there_too(images):
    with DataLoader(images, np.arange(200), 1, 8, transform=lambda x, y: (x + os.getpid(), y), **PROCESS) as loader:
        batch = next(loader)
        assert os.getpid() not in batch["data"] - images[batch["label"]]


@pytest.mark.slow
def test_a_state_goes_on_with_the_next_batch():
    options = {"num_workers": 2, "batch_size": 10, "num_epochs": 1, **PROCESS}
    with DataLoader(np.arange(60), **options) as loader:
        found = ids_of([next(loader), next(loader)])
        state = loader.state_dict()
    with DataLoader(np.arange(60), **options) as loader:
        loader.load_state_dict(state)
        assert sorted(flat(found + ids_of(loader))) == list(range(60))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["take", "transform"])
def test_an_error_arrives_as_itself_after_the_batches_before_it(where):
    def fail(rows):
        if 77 in rows:
            raise KeyError("no such token")
        return rows

    dataset = Numbers(200, fail if where == "take" else len)
    transform = fail if where == "transform" else None
    with DataLoader(dataset, None, 2, 10, 8, shuffle=False, transform=transform, **PROCESS) as loader:
        batches, error = drain(loader)
        assert len(batches) == loader.steps_done == 7
        assert type(error) is KeyError
        notes = "\n".join(error.__notes__)
        assert "in a worker process" in notes
        assert "while a batch was made (epoch 0, step 7)" in notes
        with pytest.raises(KeyError) as again:
            next(loader)
        assert again.value is error


@pytest.mark.slow
def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()
    with (
        DataLoader(np.arange(20), None, 1, transform=lambda rows: (lock, rows), **PROCESS) as loader,
        pytest.raises(TypeError, match=r"and lock cannot be pickled.*or write worker_kind='thread'"),
    ):
        next(loader)
    with (
        DataLoader(np.arange(20), None, 1, transform=lambda rows: threading.Lock(), **PROCESS) as loader,
        pytest.raises(TypeError, match="what was returned cannot be sent from a worker process"),
    ):
        next(loader)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_an_error_naming_the_step_after_the_batches_before_it():
    def dies(rows):
        if 77 in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    with DataLoader(np.arange(200), None, 2, 10, 8, False, transform=dies, **PROCESS) as loader:
        batches, error = drain(loader)
        assert len(batches) == loader.steps_done == 7
    assert isinstance(error, WorkerDiedError)
    assert "SIGKILL while it made a batch of ndarray of 200 (epoch 0, step 7)" in str(error)
    assert not children()


def test_processes_need_workers():
    with pytest.raises(ValueError, match='worker_kind="process" needs num_workers of at least 1'):
        DataLoader(np.arange(20), num_workers=0, **PROCESS)
    with pytest.raises(ValueError, match='worker_kind must be "thread" or "process", not \'fork\''):
        DataLoader(np.arange(20), worker_kind="fork")
