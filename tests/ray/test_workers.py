"""Workers of a split on Ray that are killed, or do not see what they need."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.columns import Columns
from pyloader.dataset import Dataset
from pyloader.errors import EngineError
from pyloader.write import split

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180), pytest.mark.filterwarnings("default")]  # Ray's own


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps({"id": i, "text": "word " * (i % 80)}) + "\n" for i in range(10_000)))
    return path


def outcome(directory: Path) -> dict[str, Any]:
    """Return the bytes of all chunks, and the manifests but for what names the dump and the directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    found: dict[str, Any] = {str(path.relative_to(directory)): path.read_bytes() for path in files}
    for name in [name for name in found if name.endswith("manifest.json")]:
        manifest = json.loads(found[name])
        manifest["made_by"] |= {"command": "", "dump": "", "fingerprint": ""}
        found[name] = manifest
    return found


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"num_chunks": 5, "holdout": {"val": 0.1}}], ids=str)
def test_ray_writes_the_same_chunks_and_the_same_manifest(
    options: dict[str, Any], ray_here: Any, dump: Path, tmp_path: Path
) -> None:
    split(dump, tmp_path / "inline", engine="inline", **options)
    split(dump, tmp_path / "ray", engine="ray", workers=2, **options)
    assert outcome(tmp_path / "ray") == outcome(tmp_path / "inline")


class Halves(Dataset):
    """Kills its worker once, in the middle of the dump, when it is told where to note that."""

    def __init__(self, once: Path | None = None) -> None:
        self.once = once

    def batch_encode(self, columns: Columns) -> Columns:
        if self.once is not None and 5000 in list(columns["id"]) and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"half": np.asarray(columns["id"]) / 2}


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_worker_that_is_killed_is_replaced_and_its_task_done_again(
    shuffle: bool, ray_here: Any, dump: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"shuffle": shuffle, "chunk_bytes": 5000}
    split(dump, tmp_path / "inline", engine="inline", encode=Halves(), **options)
    split(dump, tmp_path / "ray", engine="ray", workers=2, encode=Halves(tmp_path / "once"), **options)
    assert (tmp_path / "once").exists()
    assert outcome(tmp_path / "ray") == outcome(tmp_path / "inline")


def test_a_driver_that_is_killed_is_gone_on_from_on_the_same_cluster_by_the_command(
    ray_here: Any, dump: Path, tmp_path: Path
) -> None:
    address = ray_here.get_runtime_context().gcs_address
    script = f"""
        import os, signal, sys
        from pyloader.cli.main import main
        from pyloader.write import job
        whole = job.Job.add
        def add(self, receipt):
            whole(self, receipt)
            if len(self.receipts) == 5 and sys.argv[1:]:
                os.kill(os.getpid(), signal.SIGKILL)
        job.Job.add = add
        words = "split dump.jsonl chunks --engine ray --address {address} --workers 2 --shuffle -q"
        sys.exit(main(words.split()))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    killed = subprocess.run([sys.executable, "script.py", "kill"], cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    receipts = tmp_path / "chunks" / ".split" / "receipts.jsonl"
    assert receipts.read_bytes().count(b"\n") == 5
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    split(dump, tmp_path / "inline", engine="inline", shuffle=True)
    assert outcome(tmp_path / "chunks") == outcome(tmp_path / "inline")


class HidesTheOutput:
    """An engine whose workers do not see a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        hidden = self._directory.with_name("hidden")
        shutil.move(self._directory, hidden)
        try:
            future.set_result(function(*args))
        finally:
            shutil.move(hidden, self._directory)
        return future


def test_a_worker_that_does_not_see_the_output_says_so(dump: Path, tmp_path: Path) -> None:
    output = tmp_path / "chunks"
    with pytest.raises(EngineError, match=r"cannot be seen by a worker on .* Name a directory that all nodes see"):
        split(dump, output, engine=HidesTheOutput(output), workers=1)
