"""A loader as an IterableDataset, under the loaders of torch and torchdata; test_iterable.py runs this."""

from __future__ import annotations

import json
import logging
import multiprocessing.resource_tracker
from typing import Any

import pytest
from numbered import ids_of, loader_of, write_chunks
from ranks import write_counted

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:'set_vital' is deprecated"),
]

from pyloader.errors import ForkError, StateError  # noqa: E402
from pyloader.torch import TorchDataCollator, as_iterable_dataset  # noqa: E402

COUNTS = [10, 7, 12, 9]
STEPS = 10  # of 4 samples


@pytest.fixture
def chunks(tmp_path):
    return write_counted(tmp_path / "chunks", COUNTS)


def shuffled(chunks, **options: Any) -> Any:
    return loader_of(chunks, shuffle=True, batch_size=4, num_workers=0, **options)


def torch_loader(dataset: Any, **options: Any) -> Any:
    return torch.utils.data.DataLoader(dataset, batch_size=None, **options)


WORKERS = [{"num_workers": 0}, {"num_workers": 1}, {"num_workers": 3}, {"num_workers": 2, "persistent_workers": True}]


@pytest.mark.parametrize("workers", WORKERS, ids=str)
def test_every_epoch_arrives_once_and_in_its_own_order(chunks, workers) -> None:
    dataset = as_iterable_dataset(shuffled(chunks))
    loader = torch_loader(dataset, **workers)
    assert isinstance(dataset, torch.utils.data.IterableDataset)
    assert len(loader) == STEPS
    assert [ids for _ in range(3) for ids in ids_of(loader)] == ids_of(shuffled(chunks, num_epochs=3))


def test_a_spawned_worker_has_a_loader_of_its_own(chunks) -> None:
    dataset = as_iterable_dataset(shuffled(chunks, datacollator=TorchDataCollator()))
    next(dataset)
    dataset.peek()
    loader = torch_loader(dataset, num_workers=1, multiprocessing_context="spawn")
    assert ids_of(loader) == ids_of(shuffled(chunks))[1:]
    multiprocessing.resource_tracker._resource_tracker._stop()  # a process that spawning leaves until exit


def test_several_workers_are_told_once_that_one_does_it_all(chunks, tmp_path) -> None:
    written = logging.FileHandler(tmp_path / "log")  # the workers', too
    logging.getLogger("pyloader").addHandler(written)
    try:
        loader = torch_loader(as_iterable_dataset(shuffled(chunks)), num_workers=2)
        for _ in range(2):
            ids_of(loader)
    finally:
        logging.getLogger("pyloader").removeHandler(written)
        written.close()
    assert (tmp_path / "log").read_text().count("of torch's 2 workers one yields all batches") == 1


def test_a_for_after_break_is_the_next_epoch_in_workers(chunks) -> None:
    loader = torch_loader(as_iterable_dataset(shuffled(chunks)), num_workers=1)
    for _ in loader:
        break
    assert ids_of(loader) == ids_of(shuffled(chunks, num_epochs=2))[STEPS:]


def test_what_workers_deliver_this_process_has_no_state_of(chunks) -> None:
    dataset = as_iterable_dataset(shuffled(chunks))
    next(iter(torch_loader(dataset, num_workers=1)))
    with pytest.raises(StateError, match=r"Write num_workers=0, or use torchdata's StatefulDataLoader"):
        dataset.state_dict()
    assert ids_of(dataset) == ids_of(shuffled(chunks, num_epochs=2))[STEPS:]
    assert dataset.state_dict()["steps_done"] == 2 * STEPS
    dataset.reset()
    assert ids_of(torch_loader(dataset, num_workers=1)) == ids_of(shuffled(chunks))


@pytest.mark.parametrize("counted", [True, False])
def test_workers_that_cannot_know_where_the_next_epoch_begins_say_so(tmp_path, counted) -> None:
    make = write_counted if counted else write_chunks
    options = {"num_epochs": None} if counted else {}
    dataset = as_iterable_dataset(shuffled(make(tmp_path / "chunks", COUNTS), **options))
    loader = torch_loader(dataset, num_workers=1)
    next(iter(loader))
    with pytest.raises(StateError, match=r"Write num_workers=0, or give .*pyloader index DIR"):
        next(iter(loader))


def test_a_worker_forked_from_a_loader_that_reads_says_what_to_write(chunks) -> None:
    dataset = as_iterable_dataset(loader_of(chunks, batch_size=4))
    dataset.peek()
    with pytest.raises(ForkError, match=r'Write num_workers=0, or multiprocessing_context="spawn"'):
        next(iter(torch_loader(dataset, num_workers=1, multiprocessing_context="fork")))
    dataset.close()


def test_without_workers_the_dataset_knows_what_the_loop_has(chunks) -> None:
    everything = ids_of(shuffled(chunks, num_epochs=2))
    dataset = as_iterable_dataset(shuffled(chunks))
    loader = torch_loader(dataset)
    for number, batch in enumerate(loader):
        assert batch["id"].tolist() == everything[number]
        if number == 6:
            break
    state = json.loads(json.dumps(dataset.state_dict()))
    resumed = as_iterable_dataset(shuffled(chunks))
    resumed.load_state_dict(state)
    assert ids_of(torch_loader(resumed)) == everything[7:STEPS]
    assert ids_of(torch_loader(resumed)) == everything[STEPS:]
    with pytest.raises(StateError, match="Ask the outermost: the LoaderDataset's state_dict"):
        dataset._loader.state_dict()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 6, STEPS, STEPS + 3])
def test_torchdatas_stateful_loader_resumes_exactly(chunks, num_workers, stop) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader() -> Any:
        dataset = as_iterable_dataset(shuffled(chunks))
        return stateful.StatefulDataLoader(dataset, batch_size=None, num_workers=num_workers)

    everything = ids_of(shuffled(chunks, num_epochs=3))
    first, got = loader(), []
    while len(got) < stop:
        for batch in first:
            got.append(batch["id"].tolist())
            if len(got) == stop:
                state = json.loads(json.dumps(first.state_dict()))
                break
    assert got == everything[:stop]
    second = loader()
    second.load_state_dict(state)
    rest = [ids for _ in range(3) for ids in ids_of(second)]
    assert rest[: len(everything) - stop] == everything[stop:]


def test_only_a_loader_becomes_a_dataset() -> None:
    with pytest.raises(TypeError, match=r"as_iterable_dataset takes a pyloader.DataLoader, not a list"):
        as_iterable_dataset([1])
