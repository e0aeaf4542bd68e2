"""What a process opens for itself alone, a forked child has closed."""

from __future__ import annotations

import errno
import fcntl
import os
import sys

from pyloader.files.own_files import OwnFile


def in_a_child(work) -> int:
    """Return the exit code of a forked process that does some work: 0 when it is true."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError as exc:
        assert exc.errno == errno.EBADF
        return False
    return True


def opened(tmp_path):
    return OwnFile(tmp_path / "file", os.O_RDWR | os.O_CREAT)


def test_a_forked_child_has_it_closed_and_its_parent_open(tmp_path):
    file = opened(tmp_path)
    assert in_a_child(lambda: not is_open(file.descriptor)) == 0
    assert is_open(file.descriptor)
    assert not fcntl.fcntl(file.descriptor, fcntl.F_GETFD) & ~fcntl.FD_CLOEXEC
    file.close()
    assert not is_open(file.descriptor)


def test_closing_what_was_closed_leaves_alone_who_has_the_number_now(tmp_path):
    file = opened(tmp_path)
    file.close()
    other = os.open(tmp_path / "file", os.O_RDONLY)
    assert other == file.descriptor
    file.close()
    assert is_open(other)
    os.close(other)


def test_a_child_can_open_files_of_its_own(tmp_path):
    file = opened(tmp_path)

    def opens_another() -> bool:
        file.close()  # does nothing
        mine = opened(tmp_path)
        mine.close()
        return not is_open(mine.descriptor)

    assert in_a_child(opens_another) == 0
    assert is_open(file.descriptor)
    file.close()


def test_no_line_of_ours_that_ctrl_c_could_end_is_run_when_it_is_collected(tmp_path):
    file, tracing = opened(tmp_path), sys.gettrace()
    descriptor = file.descriptor

    def trace(frame, event, _):
        raise KeyboardInterrupt

    sys.settrace(trace)
    try:
        del file
    finally:
        sys.settrace(tracing)
    assert not is_open(descriptor)


def test_it_is_closed_when_it_is_collected_or_once_when_that_is_said(tmp_path):
    file = OwnFile(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    descriptor = file.descriptor
    assert in_a_child(lambda: not is_open(descriptor)) == 0
    assert is_open(descriptor)
    file.close()
    other = OwnFile(tmp_path / "file", os.O_RDWR)
    assert other.descriptor == descriptor
    file.close()
    del file
    assert is_open(descriptor)
    del other
    assert not is_open(descriptor)


def test_ctrl_c_at_any_line_leaves_no_file_open(tmp_path):
    module = OwnFile.__init__.__code__.co_filename

    def interrupted_at(line):
        seen = set()  # the end of a `with` is its line again, where Python has no lock released after an error

        def trace(frame, event, _):
            if frame.f_code.co_filename != module:
                return None
            if event == "line" and frame.f_lineno not in seen:
                seen.add(frame.f_lineno)
                if len(seen) > line:
                    raise KeyboardInterrupt
            return trace

        return trace

    before, tracing, line, ended = set(os.listdir("/dev/fd")), sys.gettrace(), 0, False
    while not ended:
        try:
            sys.settrace(interrupted_at(line))
            file = OwnFile(tmp_path / "file", os.O_RDWR | os.O_CREAT)
            file.close()
            ended = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        file = None
        assert len(os.listdir("/dev/fd")) == len(before), f"after {line} lines"
        line += 1
    assert line > 6
