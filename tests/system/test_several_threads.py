"""A loader that several threads use: handing it on is allowed, two at the same time are told, and nothing hangs."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import threading

import numpy as np
import pytest
from numbered import NumberedReader, write_chunks

from pyloader import DataLoader, Dataset, indexed
from pyloader.deliver import lifecycle
from pyloader.errors import ClosedError, ConcurrentUseError, PyLoaderError
from pyloader.run.adapters import LoaderAdapter

NUM_ROWS = 200
WAIT_SECONDS = 20


class Gate(Dataset):
    """Says when it is entered, and waits until it is opened."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()

    def batch_encode(self, columns):
        self.entered.set()
        assert self.open.wait(WAIT_SECONDS)
        return columns


def of_chunks(directory, num_workers, gate=None, **options):
    write_chunks(directory, [20] * (NUM_ROWS // 20))
    options = {"batch_size": 10, "shuffle": True, "num_workers": num_workers, **options}
    return DataLoader(NumberedReader(text=True), gate, data_dir=directory, **options)


def of_items(_, num_workers, gate=None, **options):
    options = {"num_epochs": 1, "batch_size": 10, "num_workers": num_workers, **options}
    transform = None if gate is None else gate.batch_encode
    return iter(indexed.DataLoader({"id": np.arange(NUM_ROWS)}, transform=transform, **options))


def wrapped(directory, num_workers, gate=None, **options):
    return LoaderAdapter(of_chunks(directory, num_workers, gate, **options), lambda batch: batch, size=2)


KINDS = pytest.mark.parametrize("make", [of_chunks, of_items, wrapped])
WORKERS = pytest.mark.parametrize("num_workers", [0, 2])


class Background:
    """A function that runs in a thread, and what came of it."""

    def __init__(self, function):
        self.result = self.error = None

        def run():
            try:
                self.result = function()
            except BaseException as exc:
                self.error = exc

        self.thread = threading.Thread(target=run, name="background", daemon=True)
        self.thread.start()

    def join(self):
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive(), "it hangs"
        return self


@KINDS
@WORKERS
def test_the_second_of_two_calls_is_told_and_the_first_is_not_disturbed(tmp_path, make, num_workers):
    gate = Gate()
    loader = make(tmp_path, num_workers, gate)
    first = Background(lambda: [next(loader), *loader])
    assert gate.entered.wait(WAIT_SECONDS)
    message = (
        r"next\(\) of this \w+ was called in thread 'MainThread' while thread 'background' was inside of it\. Have "
    )
    with pytest.raises(ConcurrentUseError, match=message):
        next(loader)
    gate.open.set()
    batches = first.join().result
    assert sorted(number for batch in batches for number in batch["id"].tolist()) == [*range(NUM_ROWS)]
    loader.close()


@KINDS
@WORKERS
def test_threads_that_come_one_after_another_share_a_run(tmp_path, make, num_workers):
    loader = make(tmp_path, num_workers)
    found = [next(loader)]
    for _ in range(3):
        found += Background(lambda: list(itertools.islice(loader, 3))).join().result
        found.append(next(loader))
    found += loader
    assert sorted(number for batch in found for number in batch["id"].tolist()) == [*range(NUM_ROWS)]
    loader.close()


@KINDS
@WORKERS
def test_what_only_looks_may_be_asked_meanwhile(tmp_path, make, num_workers):
    gate = Gate()
    loader = make(tmp_path, num_workers, gate)
    taking = Background(lambda: next(loader))
    assert gate.entered.wait(WAIT_SECONDS)
    state = loader.state_dict()
    assert (loader.steps_done, loader.epochs_done, "step" in state) == (0, 0, True)
    gate.open.set()
    assert len(taking.join().result["id"]) == 10
    loader.close()


@pytest.mark.slow
@KINDS
@WORKERS
def test_close_ends_the_wait_of_another_thread(tmp_path, monkeypatch, make, num_workers):
    monkeypatch.setattr(lifecycle, "_CLOSE_SECONDS", 0.5)  # the gate is shut for so long
    gate = Gate()
    loader = make(tmp_path, num_workers, gate)
    taking = Background(lambda: list(loader))
    assert gate.entered.wait(WAIT_SECONDS)
    closing = Background(loader.close)
    if num_workers:
        assert isinstance(taking.join().error, ClosedError)  # while the gate is shut
    gate.open.set()
    closing.join()
    assert isinstance(taking.join().error, ClosedError)


def move_to_start(loader):
    if hasattr(loader, "reset"):
        loader.reset()
    else:
        loader.seek(0)


@KINDS
@WORKERS
def test_a_reset_in_another_thread_ends_the_loop_with_an_error_that_says_who_did_it(
    tmp_path, monkeypatch, make, num_workers
):
    gate = Gate()
    loader = make(tmp_path, num_workers, gate)
    taking = Background(lambda: list(loader))
    assert gate.entered.wait(WAIT_SECONDS)
    interrupt, has_interrupted = loader._interrupt, threading.Event()
    monkeypatch.setattr(loader, "_interrupt", lambda error: (interrupt(error), has_interrupted.set()))
    moving = Background(lambda: move_to_start(loader))
    assert has_interrupted.wait(WAIT_SECONDS)
    gate.open.set()
    assert moving.join().error is None
    message = r"(reset|seek)\(\) of this \w+ was called in thread 'background' while this thread was taking its batches"
    with pytest.raises(ConcurrentUseError, match=message):
        raise taking.join().error
    found = list(loader)
    assert sorted(number for batch in found for number in batch["id"].tolist()) == [*range(NUM_ROWS)]
    loader.close()


@KINDS
def test_a_reset_between_two_batches_of_another_threads_loop_is_told_too(tmp_path, make):
    loader = make(tmp_path, 0)
    batches = iter(loader)
    next(batches)
    Background(lambda: move_to_start(loader)).join()
    for _ in range(2):
        with pytest.raises(ConcurrentUseError, match="Begin a new `for`, which goes on from there"):
            next(batches)
    assert len(list(loader)) == NUM_ROWS // 10
    loader.close()


@KINDS
def test_a_loop_that_was_left_does_not_keep_others_from_moving_the_loader(tmp_path, make):
    loader = make(tmp_path, 0)
    Background(lambda: next(iter(loader))).join()
    move_to_start(loader)
    assert len([next(loader), *loader]) == NUM_ROWS // 10
    loader.close()


def test_a_reset_gives_up_on_code_that_does_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("pyloader.deliver.turns"), "_WAIT_SECONDS", 0.05)
    gate = Gate()
    loader = of_chunks(tmp_path, 0, gate)
    taking = Background(lambda: next(loader))
    assert gate.entered.wait(WAIT_SECONDS)
    with pytest.raises(
        ConcurrentUseError, match=r"reset\(\) of this DataLoader was called in thread 'MainThread' while"
    ):
        loader.reset()
    gate.open.set()
    taking.join()
    loader.close()


@KINDS
@pytest.mark.parametrize("ending", ["close", "reset", "next"])
def test_races_end_with_an_error_of_the_package_or_not_at_all(tmp_path, make, ending):
    for number in range(10):
        loader = make(tmp_path, number % 3)
        taking = Background(lambda loader=loader: [len(batch["id"]) for batch in loader])
        with contextlib.suppress(ConcurrentUseError, StopIteration):
            if ending == "close":
                loader.close()
            elif ending == "reset":
                move_to_start(loader)
            else:
                next(loader)
        assert isinstance(taking.join().error, PyLoaderError | None)
        loader.close()
