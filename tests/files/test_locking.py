"""A directory has one writer at a time, and a lock ends with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyloader.errors import OutputDirError
from pyloader.files import LOCK_NAME, DirectoryLock, locked


def is_free(directory: Path) -> bool:
    try:
        DirectoryLock(directory).release()
    except OutputDirError:
        return False
    return True


@contextmanager
def a_process_that_holds(directory: Path, *, forks: bool = False) -> Iterator[int]:
    """Start a process that holds the lock, and which has forked a child since, if it `forks`; both are killed."""
    read_end, write_end = os.pipe()
    holder = os.fork()
    if holder == 0:
        _held = DirectoryLock(directory)
        child = os.fork() if forks else 0
        if child == 0:
            os.write(write_end, os.getpid().to_bytes(4, "little"))
        signal.pause()
    os.close(write_end)
    last = int.from_bytes(os.read(read_end, 4), "little")
    os.close(read_end)
    try:
        yield holder
    finally:
        if last != holder:
            os.kill(last, signal.SIGKILL)
        with suppress(ProcessLookupError):
            kill(holder)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/pyloader", "split", "big dump.jsonl", "out/\x1b[2K"])
    told = r"is being written by process (\d+) \((.*)\)\. Wait until"
    with a_process_that_holds(tmp_path) as holder, pytest.raises(OutputDirError, match=told) as refused:
        DirectoryLock(tmp_path)
    assert f"process {holder} (pyloader split 'big dump.jsonl'" in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_after_a_kill_the_next_writer_takes_over(tmp_path):
    with a_process_that_holds(tmp_path) as holder:
        assert not is_free(tmp_path)
        kill(holder)
        assert (tmp_path / LOCK_NAME).exists()
        assert is_free(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    with a_process_that_holds(tmp_path, forks=True) as holder:
        assert not is_free(tmp_path)
        kill(holder)
        assert is_free(tmp_path)


def test_a_forked_child_that_ends_does_not_release_the_lock(tmp_path):
    lock = DirectoryLock(tmp_path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_free(tmp_path)
    lock.release()
    assert is_free(tmp_path)


def test_the_same_process_is_told_to_close_its_writer(tmp_path):
    lock = DirectoryLock(tmp_path)
    with pytest.raises(OutputDirError, match=r"by this very process\. Close the ChunkWriter that is open there first"):
        DirectoryLock(tmp_path)
    lock.release()
    lock.release()


def test_a_lock_file_that_was_removed_before_it_could_be_locked_is_made_anew(tmp_path, monkeypatch):
    whole = fcntl.flock

    def removed_just_before(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", whole)
        (tmp_path / LOCK_NAME).unlink()
        whole(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_just_before)
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / LOCK_NAME).exists()
    assert not is_free(tmp_path)
    lock.release()


def test_a_lock_file_of_somebody_else_is_not_removed(tmp_path):
    lock = DirectoryLock(tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    other = DirectoryLock(tmp_path)
    lock.release()
    assert not is_free(tmp_path)
    other.release()


def test_directories_that_were_made_for_the_lock_go_when_they_stay_empty(tmp_path):
    with locked([tmp_path / "new" / "chunks", tmp_path / "new" / "chunks" / "val"]):
        assert not is_free(tmp_path / "new" / "chunks" / "val")
    assert not (tmp_path / "new").exists()
    with locked([tmp_path / "new", tmp_path / "new" / "val"]):
        (tmp_path / "new" / "chunk").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["chunk"]


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "directory", "socket"])
def test_what_lies_in_the_place_of_the_lock_file_is_not_touched(kind, tmp_path):
    directory, victim = tmp_path / "chunks", tmp_path / "victim"
    directory.mkdir()
    victim.write_text("keep")
    place = directory / LOCK_NAME
    if kind == "link":
        place.symlink_to(victim)
    elif kind == "second name":
        place.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(os.path.relpath(place))
    with pytest.raises(OutputDirError, match=r"holds \.pyloader\.lock, which is no plain file"):
        DirectoryLock(directory)
    assert victim.read_text() == "keep"
    assert os.path.lexists(place)


def test_where_files_cannot_be_locked_a_warning_says_so(tmp_path, monkeypatch, caplog):
    def refuses(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuses)
    DirectoryLock(tmp_path).release()
    assert "cannot be locked (Operation not supported): let only one process write there" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_nobody_may_write_in_needs_no_lock(tmp_path, monkeypatch):
    def refuses(*arguments: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("pyloader.files.locking.os.access", lambda path, mode: False)
        patched.setattr("pyloader.files.locking.os.open", refuses)
        DirectoryLock(tmp_path).release()
        patched.setattr("pyloader.files.locking.os.access", lambda path, mode: True)
        with pytest.raises(PermissionError):
            DirectoryLock(tmp_path)
