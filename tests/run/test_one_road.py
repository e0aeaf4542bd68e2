"""How far a batch goes: the files entered between two `next` are few."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numbered import loader_of, write_chunks

import pyloader
from pyloader import indexed

PACKAGE = str(Path(pyloader.__file__).parent)

MOST_FILES = 15


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
    assert np.median(counts) <= MOST_FILES, sorted(entered)
