"""A split on a Ray cluster writes the same bytes as one in this process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_server import StoreServer

from pyloader.deliver.engines import Engine, opened_engine
from pyloader.errors import EngineError, MissingDependencyError
from pyloader.write import beginning, split

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one processor each, on this machine."""
    ray = pytest.importorskip("ray")
    utils = pytest.importorskip("ray.cluster_utils")
    found = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    found.add_node(num_cpus=1)
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps({"id": i, "text": "word " * (i % 80)}) + "\n" for i in range(20_000)))
    return path


def chunks_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.rglob("chunk-*"))}


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"num_chunks": 7, "holdout": {"val": 0.1}}], ids=str)
def test_a_cluster_of_three_nodes_writes_the_same_bytes(
    options: dict[str, Any], cluster: Any, dump: Path, tmp_path: Path
) -> None:
    split(dump, tmp_path / "inline", engine="inline", **options)
    split(dump, tmp_path / "ray", engine="ray", workers=3, **options)
    assert chunks_of(tmp_path / "ray") == chunks_of(tmp_path / "inline")


def test_a_node_that_dies_is_done_without(cluster: Any, dump: Path, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    split(dump, tmp_path / "inline", engine="inline", shuffle=True, chunk_bytes=20_000)
    with opened_engine("ray", 4) as engine:
        killing = KillsANode(engine, cluster, node)
        split(dump, tmp_path / "ray", engine=killing, workers=4, shuffle=True, chunk_bytes=20_000)
    assert killing.num_begun > 6
    assert chunks_of(tmp_path / "ray") == chunks_of(tmp_path / "inline")


class KillsANode:
    """An engine whose sixth task comes when a node has just died."""

    def __init__(self, engine: Engine, cluster: Any, node: Any) -> None:
        self._engine, self._cluster, self._node = engine, cluster, node
        self.num_begun = 0

    def submit(self, function: Any, /, *args: Any) -> Any:
        self.num_begun += 1
        if self.num_begun == 6:
            self._cluster.remove_node(self._node, allow_graceful=False)
        return self._engine.submit(function, *args)


def test_a_worker_with_other_versions_refuses_the_task(
    cluster: Any, dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "versions", lambda others=(): {"numpy": "0.0"})
    with pytest.raises(EngineError, match=r"has numpy .* instead of 0\.0, which may write other bytes"):
        split(dump, tmp_path / "ray", engine="ray", workers=3)


def test_without_ray_the_error_says_what_to_install(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingDependencyError, match="--engine ray needs 'ray', which is not installed: pip install ray"
    ):
        split(dump, tmp_path / "ray", engine="ray", workers=3)


def test_the_command_begins_ray_on_this_machine(dump: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = [sys.executable, "-m", "pyloader", "split", "dump.jsonl", "chunks", "--engine", "ray", "--shuffle", "-q"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    split(dump, tmp_path / "inline", engine="inline", shuffle=True)
    assert chunks_of(tmp_path / "chunks") == chunks_of(tmp_path / "inline")


def test_tasks_read_from_a_store_with_the_keys_of_their_own_environment(
    dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("obstore")
    # A Ray of its own: the workers of one that runs already have the environment of its start.
    with StoreServer() as server, tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as directory:
        server.put("dumps/dump.jsonl", dump)
        monkeypatch.setenv("RAY_TMPDIR", directory)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "here")
        words = [sys.executable, "-m", "pyloader", "split", "s3://dumps/*.jsonl", "chunks", "--engine", "ray", "-q"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == 2 and server.requests["GET dumps/dump.jsonl"] > 4
    split(dump, tmp_path / "inline", engine="inline")
    assert chunks_of(tmp_path / "chunks") == chunks_of(tmp_path / "inline")


@pytest.mark.parametrize("package", ["distributed", "submitit"])
def test_the_executors_of_the_page_are_engines(package: str, dump: Path, tmp_path: Path) -> None:
    pytest.importorskip(package)
    page = (Path(__file__).resolve().parents[2] / "docs" / "splitting.md").read_text(encoding="utf-8")
    script = next(block for block in re.findall(r"```py\n(.*?)```", page, re.S) if package in block)
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    split(dump, tmp_path / "inline", engine="inline", shuffle=True)
    assert chunks_of(tmp_path / "chunks") == chunks_of(tmp_path / "inline")
