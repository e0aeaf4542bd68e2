"""The checks of endings find what is left open or running, parked loaders that work on, and scripts that end badly."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import pytest
from good_parts import Encoder, Reader, breaks, loaders

from pyloader.testing import endings


class LeavesFilesOpen(Reader):
    files = []  # noqa: RUF012

    def read_file(self, path):
        self.files.append(open(path))  # noqa: SIM115
        return super().read_file(path)


class LeavesThreads(Encoder):
    release = threading.Event()

    def batch_encode(self, columns, rng):
        threading.Thread(target=self.release.wait, args=(30,), name="of the user", daemon=True).start()
        return super().batch_encode(columns, rng)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(endings, "_QUIET_SECONDS", 0.3)
    LeavesThreads.release.clear()
    yield
    for file in LeavesFilesOpen.files:
        file.close()
    LeavesThreads.release.set()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_files_that_are_left_open_are_found(chunks, impatient):
    breaks(
        endings.check_endings,
        loaders(chunks, reader=LeavesFilesOpen),
        r"law 6 .*left behind: open file .*chunk-\d\.jsonl",
    )


@pytest.mark.slow
def test_threads_that_are_left_running_are_found(chunks, impatient):
    breaks(endings.check_endings, loaders(chunks, dataset=LeavesThreads), r"law 6 .*was closed, and left .*of the user")


@pytest.mark.slow
def test_a_parked_loader_that_works_on_is_found(chunks, impatient, monkeypatch):
    used = itertools.count()
    monkeypatch.setattr(endings, "loader_cpu_seconds", lambda: float(next(used)))
    breaks(endings.check_parked, loaders(chunks), r"law 6 .*threads still use the processor")


class PrintsATraceback(Reader):
    """Leaves something to the interpreter's exit that fails there."""

    def read_file(self, path):
        import atexit

        atexit.register(os._exit, 3)
        return super().read_file(path)


@pytest.mark.slow
def test_a_script_that_ends_badly_is_found(chunks):
    breaks(endings.check_scripts, loaders(chunks, reader=PrintsATraceback), "law 6 .*half-read loader ended with 3")
