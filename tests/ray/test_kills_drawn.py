"""Drivers, workers and nodes of splits on Ray that are killed, by the draw; as many as tests/write has it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import drawn_kills
import pytest
from drawn_kills import Case, KillsAWorker, drawn_cases, make_dump, moments, outcome

from pyloader.deliver.engines import Engine, opened_engine
from pyloader.write import split, units

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]  # Ray's own


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A node that stays, and one that may be killed."""
    ray, utils = pytest.importorskip("ray"), pytest.importorskip("ray.cluster_utils")
    found = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    ray.init(address=found.address, log_to_driver=False)
    ray.cloudpickle.register_pickle_by_value(drawn_kills)  # workers do not find it by its name
    yield found
    ray.cloudpickle.unregister_pickle_by_value(drawn_kills)
    ray.shutdown()
    found.shutdown()


class KillsANode:
    """An engine that kills a node when a task begins."""

    def __init__(self, engine: Engine, kill: Callable[[], None], task: int) -> None:
        self._engine, self._kill, self._left = engine, kill, task

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        if self._left == 0:
            self._kill()
        self._left -= 1
        return self._engine.submit(function, *args)


@pytest.mark.parametrize("case", drawn_cases(on_ray=True), ids=str)
def test_whoever_is_killed_on_ray_the_same_command_ends_with_the_same_bytes(
    case: Case, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "MIN_UNIT_BYTES", 1)
    dump, output = make_dump(case.format, tmp_path), tmp_path / "chunks"
    options: dict[str, Any] = {**case.options, "workers": 3}
    task, change = moments(case)
    if case.target == "driver":
        assert killed_driver(case, dump, output, cluster.address) == -signal.SIGKILL
    elif case.target == "worker":
        once = tmp_path / "once"
        with opened_engine("ray", 3) as engine:
            split(dump, output, engine=KillsAWorker(engine, task=task, change=change, once=once), **options)
        assert once.exists()
    else:
        node = cluster.add_node(num_cpus=2)
        killed: list[Any] = []

        def kill() -> None:
            cluster.remove_node(node, allow_graceful=False)
            killed.append(node)

        with opened_engine("ray", 3) as engine:
            split(dump, output, engine=KillsANode(engine, kill, task), **options)
        assert killed
    split(dump, output, engine="ray", **options)
    split(dump, tmp_path / "whole", engine="inline", **case.options)
    assert outcome(output) == outcome(tmp_path / "whole")


def killed_driver(case: Case, dump: str, output: Path, address: str) -> int:
    """Begin a split in a process of its own, which is killed; return how it ended."""
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
import ray
from drawn_kills import Case, killing_driver
ray.init(address={address!r}, log_to_driver=False)
case = Case({case.number}, {case.seed}, "driver", "ray", {case.format!r})
killing_driver(case, {dump!r}, {str(output)!r}, engine="ray")
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode
