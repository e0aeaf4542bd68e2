"""Ray on this machine, begun for a module of tests and ended with it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Ray says so when it cannot get at a service for figures of use, which these tests do without.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="module", autouse=True)
def ray_directory() -> Iterator[str]:
    """Where Ray, also in processes that tests start, has its sockets and logs; nothing of Ray is left there."""
    # Not below pytest's own directories: the names of sockets must be short.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as directory,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("RAY_TMPDIR", directory)
        yield directory
        left = list(_processes_in(directory))
        for process in left:
            os.kill(process, signal.SIGKILL)
    assert not left


@pytest.fixture(scope="module")
def ray_here(ray_directory: str) -> Iterator[Any]:
    """Two workers on this machine."""
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def _processes_in(directory: str) -> Iterator[int]:
    """Yield the processes that name a directory in their command."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if directory.encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:  # it has ended meanwhile
            continue
