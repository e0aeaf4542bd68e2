"""Ctrl-C at every line of the package that the loop's thread executes: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numbered import ids_of, loader_of, write_chunks

import pyloader
import pyloader.indexed

PACKAGE = str(Path(pyloader.__file__).parent)


class Interrupting:
    """Raises KeyboardInterrupt in this thread at the `at`-th new line of the package, once."""

    def __init__(self, at):
        self.left, self.seen, self.place = at, set(), None

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *ending):
        sys.settrace(self.before)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and self.place is None and place not in self.seen:
            self.seen.add(place)
            self.left -= 1
            if self.left < 0:
                self.place = place
                raise KeyboardInterrupt
        return self.trace


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pyloader-")]


OPTIONS = {"batch_size": 8, "shuffle": True, "shuffle_window": 2, "num_epochs": 2}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("text", [False, True])
def test_the_loop_goes_on_with_the_batch_that_it_did_not_get(tmp_path, num_workers, text):
    directory = write_chunks(tmp_path, [10, 3, 12, 7])
    options = {**OPTIONS, "text": text, "num_workers": num_workers}
    wanted = ids_of(loader_of(directory, **options))
    at = 0
    while True:
        loader = loader_of(directory, **options)
        interrupting, found = Interrupting(at), []
        try:
            with interrupting:
                for batch in loader:
                    found.append(batch)
        except KeyboardInterrupt:
            pass
        if interrupting.place is None:  # there are no more lines
            loader.close()
            break
        if len(found) < len(wanted):
            assert loader.steps_done == len(found), interrupting.place
            found += loader
        assert ids_of(found) == wanted, interrupting.place
        loader.close()
        assert not threads(), interrupting.place
        at += 1
    assert at > 100


@pytest.mark.parametrize("num_workers", [1, 2])
def test_closing_that_is_interrupted_is_ended_by_collection(tmp_path, num_workers):
    directory = write_chunks(tmp_path, [10] * 20)
    at = 0
    while True:
        loader = loader_of(directory, **OPTIONS, num_workers=num_workers)
        next(loader)
        interrupting = Interrupting(at)
        try:
            with interrupting:
                loader.close()
        except KeyboardInterrupt:
            pass
        del loader
        gc.collect()
        assert not threads(), interrupting.place
        if interrupting.place is None:
            break
        at += 1
    assert at > 10


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_of_items_goes_on_with_the_batch_that_it_did_not_get(num_workers):
    def fresh():
        options = {"batch_size": 4, "num_epochs": 1, "num_workers": num_workers}
        return iter(pyloader.indexed.DataLoader({"x": np.arange(50)}, **options))

    wanted = [batch["x"].tolist() for batch in fresh()]
    at = 0
    while True:
        batches, interrupting, found = fresh(), Interrupting(at), []
        try:
            with interrupting:
                for batch in batches:
                    found.append(batch)
        except KeyboardInterrupt:
            pass
        if interrupting.place is None:
            batches.close()
            break
        if len(found) < len(wanted):
            assert batches.steps_done == len(found), interrupting.place
            found += batches
        assert [batch["x"].tolist() for batch in found] == wanted, interrupting.place
        batches.close()
        assert not threads(), interrupting.place
        at += 1
    assert at > 30
