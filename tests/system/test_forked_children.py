"""Worker processes end with their parent, also while a forked child of it lives."""

from __future__ import annotations

import os
import select
import signal

import pytest
from numbered import write_chunks

from pyloader.testing.open_resources import children
from scripts import finished, start_script

# It forks while two worker processes run; the child lives until it is killed.
SCRIPT = """
import os, sys, time
import pytest
from numbered import NumberedReader
from pyloader import DataLoader

one = {"worker_kind": "process", "num_workers": 1, "num_readers": 1}
loader = DataLoader(NumberedReader(text=True), None, None, sys.argv[1], batch_size=20, **one)
next(loader)
child = os.fork()
if child == 0:
    for number in (1, 2):  # whoever reads the parent's is to see their end
        os.close(number)
else:
    print(child, flush=True)
time.sleep(60)
"""


def has_ended(pidfd, *, within):
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    return bool(ended.poll(within * 1000))


@pytest.mark.slow
def test_workers_end_with_a_killed_parent_whose_forked_child_lives(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 100)
    process = start_script(tmp_path, SCRIPT)
    child = int(process.stdout.readline())
    pidfds = {pid: os.pidfd_open(pid) for pid in children(process.pid)}
    forked = pidfds.pop(child)
    try:
        assert len(pidfds) == 2
        process.kill()
        assert all(has_ended(worker, within=5) for worker in pidfds.values())
        assert not has_ended(forked, within=0)
    finally:
        os.kill(child, signal.SIGKILL)
        finished(process)
        for pidfd in (forked, *pidfds.values()):
            os.close(pidfd)
