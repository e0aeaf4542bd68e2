"""`pyloader tune`: what is fastest, and what to write."""

from __future__ import annotations

import itertools
import json
import re
from functools import partial

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader
from pyloader.cli import tune as command
from pyloader.cli.main import main
from pyloader.inspecting.tuning import Trial


@pytest.fixture
def chunks(tmp_path, monkeypatch):
    """Six chunks of 50 rows, in the working directory."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    with ChunkWriter("chunks", chunk_samples=50) as writer:
        for number in range(300):
            writer.write({"x": np.full(4, number, np.float32)})
    return tmp_path / "chunks"


@pytest.fixture
def made_up(monkeypatch):
    """Rates that nobody measured: two workers and two readers are fastest, processes cannot be had."""
    seen = []
    real = command._measuring

    def measuring(given, make, state):
        measured = real(given, make, state)

        def measure(setting, seconds):
            seen.append(setting)
            if setting.worker_kind == "process":
                return Trial(setting, error="TypeError: cannot be sent")
            measured(setting, 0.0)
            return Trial(setting, (1000.0 * min(setting.num_workers, 2) * min(setting.num_readers, 2) or 10.0,), "read")

        return measure

    ticks = itertools.count()
    monkeypatch.setattr(command, "_measuring", measuring)
    monkeypatch.setattr(command, "tune", partial(command.tune, clock=lambda: next(ticks) / 10))
    return seen


@pytest.mark.slow
@pytest.mark.usefixtures("chunks", "made_up")
def test_the_screen_ends_with_the_line_to_write(capsys):
    assert main(["tune", "chunks", "--batch-size", "20", "--seconds", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("chunks     chunks   300 samples, 6 chunks, ")
    assert lines[3].split() == ["tried", "samples/s", "waits", "for"]
    assert re.fullmatch(r"num_workers=2, num_readers=2 +4,000 +4\.00 +read", lines[4])
    written = re.match(r"next       (DataLoader\(.*\))   4\.0 times as fast, and the same batches", lines[-1])[1]
    with DataLoader(data_dir="chunks", batch_size=20, shuffle=True) as plain, eval(written) as loader:
        for one, other in zip(plain, loader, strict=True):
            np.testing.assert_array_equal(one["x"], other["x"])


@pytest.mark.slow
@pytest.mark.usefixtures("chunks", "made_up")
def test_it_measures_within_the_bounds_that_were_given(capsys):
    words = ["--batch-size", "20", "--max-bytes", "100kB", "--max-queue-size", "6", "--seconds", "4"]
    assert main(["tune", "chunks", *words, "--json"]) == 0
    trials = json.loads(capsys.readouterr().out)
    assert {6, 12} <= {trial["max_queue_size"] for trial in trials} <= {6, 12, 24}
    assert trials[0]["samples_per_second"] > 0


def test_a_function_of_your_own_is_tuned_and_may_not_change_the_order(chunks, made_up, capsys):
    (chunks.parent / "tuned_loaders.py").write_text(
        "from pyloader import DataLoader\n"
        "def make(**options):\n"
        "    return DataLoader(data_dir='chunks', batch_size=20, shuffle=True, **options)\n"
        "def moody(num_workers=1, **options):\n"
        "    return DataLoader(data_dir='chunks', batch_size=20, seed=num_workers, **options)\n"
    )
    assert main(["tune", "--loader", "tuned_loaders:make", "--step-ms", "15", "--seconds", "3"]) == 0
    out = capsys.readouterr().out
    assert (
        "next       tuned_loaders:make(num_workers=2, num_readers=2)   4.0 times as fast, and the same batches" in out
    )
    assert out.rstrip().endswith("a step of 15 ms does not wait for data")
    assert main(["tune", "--loader", "tuned_loaders:moody", "--seconds", "3"]) == 2
    assert "made a loader with other batches: options of the order must stay" in capsys.readouterr().err


def test_a_mixture_is_tuned_too(chunks, made_up, capsys):
    (chunks.parent / "tuned_mixtures.py").write_text(
        "from pyloader import DataLoader\n"
        "def make(**options):\n"
        f"    return DataLoader(data_dir={{'a': {str(chunks)!r}}}, batch_size=20, num_steps=5, **options)\n"
    )
    assert main(["tune", "--loader", "tuned_mixtures:make", "--step-ms", "15", "--seconds", "3"]) == 0
    assert "the same batches" in capsys.readouterr().out


@pytest.mark.slow
def test_a_function_in_the_working_directory_is_tried_in_processes_too_and_what_fails_there_is_said(chunks, capsys):
    pytest.importorskip("cloudpickle")
    (chunks.parent / "tuned_in_processes.py").write_text(
        "import threading\n"
        "from pyloader import DataLoader, Dataset\n"
        "class Doubled(Dataset):\n"
        "    def batch_encode(self, columns):\n"
        "        return {'x': columns['x'] * 2}\n"
        "class Locked(Doubled):\n"
        "    def __init__(self):\n"
        "        self.lock = threading.Lock()\n"
        "def make(dataset=Doubled, **options):\n"
        "    return DataLoader(None, dataset(), data_dir='chunks', batch_size=20, shuffle=True, **options)\n"
        "def locked(**options):\n"
        "    return make(Locked, **options)\n"
    )
    for name, works in (("make", True), ("locked", False)):
        assert main(["tune", "--loader", f"tuned_in_processes:{name}", "--seconds", "1", "--json"]) == 0
        trials = json.loads(capsys.readouterr().out)
        (trial, *_) = [trial for trial in trials if trial["worker_kind"] == "process"]
        assert (trial["samples_per_second"] > 0) == works
        assert works or "lock" in trial["error"]
        assert trials[0]["worker_kind"] == "thread" or works
