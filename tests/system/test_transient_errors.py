"""Law 7: a read that failed for a reason that may pass is tried again; what stays broken is an error."""

from __future__ import annotations

import errno
import logging
import signal
import threading
from functools import partial

import pytest
from numbered import NumberedReader, ids_of, write_chunks

from pyloader import DataLoader
from pyloader.errors import ChunkReadError
from pyloader.run import transient

ENGINES = pytest.mark.parametrize(
    "options", [{"num_workers": 0}, {"num_workers": 2, "num_readers": 2}, {"num_workers": 1, "worker_kind": "process"}]
)


class Flaky(NumberedReader):
    """Fails so often at each read of some chunks, wherever it runs: what it remembers is in files beside them."""

    def __init__(self, times, error=None):
        super().__init__()
        self.times = times
        self.error = error or OSError(errno.EIO, "Input/output error")

    def read_file(self, path):
        failures = list_of(path)
        if path.endswith(("1.numbered", "4.numbered")) and len(failures) < self.times:
            with open(f"{path}.log", "a") as log:
                log.write("x")
            raise ChunkReadError(path, "cannot be read.") from self.error
        return super().read_file(path)


def list_of(path):
    try:
        with open(f"{path}.log") as log:
            return log.read()
    except FileNotFoundError:
        return ""


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    monkeypatch.setattr(transient, "_FIRST_WAIT_SECONDS", 0.0)


@pytest.mark.slow
@ENGINES
def test_the_batches_are_those_of_a_disk_that_is_well_and_the_tries_are_counted(tmp_path, options, caplog):
    directory = write_chunks(tmp_path, [10] * 6)
    wanted = ids_of(DataLoader(NumberedReader(), data_dir=directory, batch_size=8, shuffle=True, num_workers=0))
    # Only the chunks themselves: what the reader writes beside them is none.
    chunks = str(directory / "*.numbered")
    with (
        DataLoader(Flaky(2), data_dir=chunks, batch_size=8, shuffle=True, **options) as loader,
        caplog.at_level(logging.WARNING, "pyloader"),
    ):
        assert ids_of(loader) == wanted
        assert loader.stats().num_retries == 4
        assert "retried    4 reads" in str(loader.stats())
    assert sum("chunk-0001.numbered failed (ChunkReadError" in record.message for record in caplog.records) == 2


@pytest.mark.slow
@ENGINES
def test_after_the_last_try_the_error_arrives_and_the_good_batches_before_it(tmp_path, options):
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    batches = []
    with DataLoader(Flaky(9), data_dir=chunks, batch_size=5, read_retries=3, **options) as loader:
        with pytest.raises(ChunkReadError, match="cannot be read") as caught:
            for batch in loader:
                batches.append(batch)
        assert loader.stats().num_retries >= 3  # another chunk may be tried already
    assert ids_of(batches) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert "pyloader: the last of 4 tries" in caught.value.__notes__


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), FileNotFoundError(errno.ENOENT, "none")])
def test_what_cannot_pass_is_not_tried_again(tmp_path, options, error):
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    with DataLoader(Flaky(1, error), data_dir=chunks, batch_size=5, **options) as loader:
        with pytest.raises(ChunkReadError):
            list(loader)
        assert loader.stats().num_retries == 0


def test_a_chunk_that_stays_unreadable_counts_as_skipped(tmp_path):
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    with DataLoader(Flaky(9), data_dir=chunks, batch_size=10, max_skipped=2, read_retries=1) as loader:
        assert len(list(loader)) == 4
        assert len(loader.stats().skipped) == loader.stats().num_retries == 2


def test_no_retries_may_be_wished_for_and_fewer_than_none_may_not(tmp_path):
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    with DataLoader(Flaky(1), data_dir=chunks, read_retries=0) as loader, pytest.raises(ChunkReadError):
        list(loader)
    with pytest.raises(ValueError, match="read_retries must be at least 0, got -1"):
        DataLoader(Flaky(1), data_dir=chunks, read_retries=-1)


class Waiting(Flaky):
    """Tells when it has failed."""

    failed: threading.Event

    def read_file(self, path):
        try:
            return super().read_file(path)
        except ChunkReadError:
            self.failed.set()
            raise


def test_closing_does_not_wait_for_the_next_try(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(transient, "_FIRST_WAIT_SECONDS", 1000.0)
    monkeypatch.setattr(transient, "_LONGEST_WAIT_SECONDS", 1000.0)
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    reader = Waiting(9)
    reader.failed = threading.Event()
    with DataLoader(reader, data_dir=chunks, batch_size=5, max_skipped=1) as loader:
        next(loader)
        assert reader.failed.wait(timeout=10)
    assert "left behind" not in caplog.text
    assert not loader.stats().skipped


@pytest.mark.parametrize("num_workers", [0, 1])
def test_ctrl_c_does_not_wait_for_the_next_try(tmp_path, monkeypatch, request, num_workers):
    monkeypatch.setattr(transient, "_FIRST_WAIT_SECONDS", 1000.0)
    monkeypatch.setattr(transient, "_LONGEST_WAIT_SECONDS", 1000.0)
    chunks = str(write_chunks(tmp_path, [10] * 6) / "*.numbered")
    reader, handled = Waiting(9), threading.Event()
    reader.failed = threading.Event()

    def handle(number, frame):
        handled.set()
        signal.default_int_handler(number, frame)

    def interrupt():
        assert reader.failed.wait(timeout=10)
        # Again until Python sees it: a signal that comes just before a wait for a lock does not end that wait.
        while True:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if handled.wait(timeout=1):
                break

    signal.signal(signal.SIGINT, handle)
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.default_int_handler))
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with DataLoader(reader, data_dir=chunks, batch_size=5, num_workers=num_workers) as loader:
        with pytest.raises(KeyboardInterrupt):
            list(loader)
        interrupting.join(timeout=10)
        reader.times = 0
        list(loader)
        assert loader.steps_done == 12
