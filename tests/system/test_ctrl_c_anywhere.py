"""Ctrl-C at every line of the package that the loop's thread executes: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import gc
import itertools
import sys
from pathlib import Path

import pytest
from numbered import ids_of, loader_of, write_chunks
from products import stride
from sources import StoredChunks

import pyloader
from pyloader.run.thread_counts import ThreadCounts, ThreadTrials
from pyloader.testing.open_resources import loader_threads

PACKAGE = str(Path(pyloader.__file__).parent)


class Interrupting:
    """Raises KeyboardInterrupt in this thread at the `at`-th new line of the package, once.

    Cycles are collected before, and not meanwhile: what is raised in a finalizer is lost, and CPython calls a freed
    object when a tracing function raises while another call of it is being prepared.
    """

    def __init__(self, at):
        self.left, self.seen, self.place = at, set(), None

    def __enter__(self):
        gc.collect()
        gc.disable()
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *ending):
        sys.settrace(self.before)
        gc.enable()

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


COUNTS = [10, 3, 12, 7]
OPTIONS = {"batch_size": 8, "window": 2, "num_epochs": 2}


def lines(source):
    """Return how many lines further the next Ctrl-C comes; through a store there are many, of many milliseconds."""
    return stride(60 if isinstance(source, StoredChunks) else 3)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("text", [False, True])
def test_the_loop_goes_on_with_the_batch_that_it_did_not_get(source, num_workers, text):
    options = {**OPTIONS, "text": text, "num_workers": num_workers}
    interrupt_every_line(lambda: source.loader(COUNTS, **options), lines(source))


@pytest.mark.slow
def test_it_does_so_while_threads_are_added_and_end(tmp_path, monkeypatch):
    numbers = itertools.cycle([(3, 1), (1, 0), (1, 3), (0, 0), (2, 2), (1, 1)])

    def group_came(self, came, **measured):
        self.now = ThreadCounts(*next(numbers))
        return True

    monkeypatch.setattr(ThreadTrials, "begin_run", lambda self, least, most: None)
    monkeypatch.setattr(ThreadTrials, "group_came", group_came)
    directory = write_chunks(tmp_path, COUNTS)
    interrupt_every_line(lambda: loader_of(directory, text=True, batch_size=8, shuffle=True, num_epochs=2), stride(2))


def interrupt_every_line(make_loader, step):
    """Interrupt the loop of a new loader at every step-th line in turn; it goes on, and has the same batches."""
    wanted = ids_of(make_loader())
    gc.collect()
    gc.freeze()
    at = 0
    while True:
        loader = make_loader()
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
        assert not loader_threads(), interrupting.place
        at += step
    assert at > 30


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_closing_that_is_interrupted_is_ended_by_collection(source, num_workers):
    gc.collect()
    gc.freeze()
    at = 0
    while True:
        loader = source.loader([10] * 20, **OPTIONS, num_workers=num_workers)
        next(loader)
        interrupting = Interrupting(at)
        try:
            with interrupting:
                loader.close()
        except KeyboardInterrupt:
            pass
        del loader
        gc.collect()  # of this loader: the rest is frozen
        assert not loader_threads(), interrupting.place
        if interrupting.place is None:
            break
        at += lines(source)
    assert at > 10
