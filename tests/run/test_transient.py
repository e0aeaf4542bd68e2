"""Which failures to read may pass by themselves."""

from __future__ import annotations

import errno

import pytest

from pyloader.errors import ChunkReadError, ReadFileError, WorkerDiedError
from pyloader.run.transient import is_transient, waits_before_retries


def raised_from(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "it") for number in (errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN)),
        ConnectionResetError(),
        TimeoutError("10 s"),
        raised_from(ReadFileError("a", "it."), OSError(errno.EIO, "it")),
        raised_from(ChunkReadError("a", "it."), raised_from(RuntimeError(), ConnectionAbortedError())),
    ],
    ids=repr,
)
def test_broken_networks_and_failing_disks_may_get_better(error):
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "it") for number in (errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EISDIR)),
        OSError("no number"),
        ChunkReadError("a", "ends early."),
        ValueError(),
        raised_from(WorkerDiedError("it died."), ConnectionResetError()),
    ],
    ids=repr,
)
def test_what_is_missing_forbidden_or_damaged_stays_so(error):
    assert not is_transient(error)


def test_causes_that_go_in_a_circle_have_an_end():
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert not is_transient(one)


def test_waits_double_up_to_half_a_minute():
    assert waits_before_retries(0) == ()
    assert waits_before_retries(9) == (0.5, 1, 2, 4, 8, 16, 30, 30, 30)
