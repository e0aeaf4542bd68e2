"""How far a batch goes: files entered between two `next`, and frames between a thread and `read_file`, are few."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numbered import NumberedReader, loader_of, write_chunks

import pyloader
from pyloader import indexed

PACKAGE = str(Path(pyloader.__file__).parent)

MOST_FILES = 15
MOST_FILES_INLINE = 20  # where nothing is made ahead, each batch of items goes all the way in the loop's own thread
MOST_FRAMES = 9  # of ours, from the thread's function to `read_file`: to be lowered, never raised


def of_chunks(directory, **options):
    write_chunks(directory, [40] * 60)
    return loader_of(directory, batch_size=8, shuffle=True, **options)


def of_items(_, **options):
    return indexed.DataLoader({"id": np.arange(4000)}, batch_size=8, num_epochs=1, **options)


@pytest.mark.parametrize("make", [of_chunks, of_items])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_few_files_are_entered_between_two_next(tmp_path, make, num_workers):
    entered = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered.add(frame.f_code.co_filename.removeprefix(PACKAGE))

    threading.setprofile(note)
    try:
        with make(tmp_path, num_workers=num_workers) as loader:
            batches = iter(loader)
            for _ in range(40):
                next(batches)
            counts = []
            sys.setprofile(note)
            for _ in range(100):
                entered.clear()
                next(batches)
                counts.append(len(entered))
            sys.setprofile(None)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    most = MOST_FILES_INLINE if num_workers == 0 and make is of_items else MOST_FILES
    assert np.median(counts) <= most, sorted(entered)


class Stacks(NumberedReader):
    """Notes which frames of the package are below `read_file`."""

    def __init__(self):
        super().__init__()
        self.found = []

    def read_file(self, path):
        frame, mine = sys._getframe(1), []
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                mine.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")
            frame = frame.f_back
        self.found.append(mine)
        return super().read_file(path)


def test_few_frames_are_between_a_thread_and_read_file(tmp_path):
    reader = Stacks()
    with pyloader.DataLoader(reader, data_dir=write_chunks(tmp_path, [20] * 4), batch_size=4, shuffle=True) as loader:
        list(loader)
    assert max(map(len, reader.found)) <= MOST_FRAMES, reader.found[0]
