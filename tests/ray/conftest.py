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


@pytest.fixture(scope="module")
def ray_here() -> Iterator[Any]:
    """Two workers on this machine."""
    ray = pytest.importorskip("ray")
    # Not below pytest's own directories: Ray's sockets are in it, and their names must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as directory:
        ray.init(
            address="local", num_cpus=2, _temp_dir=directory, include_dashboard=False, log_to_driver=False,
            logging_level="error",
        )  # fmt: skip
        try:
            yield ray
        finally:
            ray.shutdown()
            left = list(_processes_in(directory))
            for process in left:
                os.kill(process, signal.SIGKILL)
    assert not left


def _processes_in(directory: str) -> Iterator[int]:
    """Yield the processes that name a directory in their command."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if directory.encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:  # it has ended meanwhile
            continue
