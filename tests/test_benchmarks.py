"""Every benchmark runs, on tiny data: none of them may rot.  Each run of the tests draws some of them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from products import ALL, drawn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMPARE = str(BENCHMARKS / "compare.py")


COMMANDS = [
    (["arrays.py", "dense", "--samples", "9000", "--repeat", "1"], "pyloader, window 8, read, 2 workers"),
    (
        ["automatic.py", "--samples", "3000", "--repeat", "1", "--seconds=0.05", "--trying=0.05", "--workload", "npy"],
        "npy.zst, window 1",
    ),
    (["arrays.py", "small", "--samples", "9000", "--repeat", "1"], "pyloader, window 1, mmap, 0 workers"),
    (["indexed.py", "dense", "--samples", "9000", "--repeat", "1"], "pyloader.indexed, as it comes"),
    (["indexed.py", "records", "--samples", "9000", "--repeat", "1"], "bare __getitems__"),
    (["indexed.py", "parquet", "--samples", "9000"], "Parquet, 32 row groups, 4 kept, in order"),
    (["indexed.py", "start"], "first batch of a shuffled shard of 10^9 items"),
    (["text.py", "--lines", "3000", "--repeat", "1"], "pyloader, strings to the loop"),
    (["verdicts.py", "--runs", "8", "--seconds", "0.2"], "slow encode, NumPy"),
    (["memory.py", "--gigabytes", "0.26", "--form", "columns"], "4 chunks of 64 MB"),
    (["bounded.py", "--megabytes", "20", "--limit-mb", "100", "--only", "mds"], "| mds | 0.02 GB | "),
    (["bytes.py", "--megabytes", "1", "--max-bytes", "40MB"], "images   max_bytes=40MB"),
    (["ragged.py", "--megabytes", "1", "--repeat", "1"], "gather  mean     64 int32"),
    (["formats.py", "--megabytes", "0.2", "--repeat", "1"], "index   .tar"),
    (["packing.py", "--documents", "300", "--repeat", "1"], "rows filled to"),
    (
        ["images.py", "--count", "64", "--rounds", "1", "--seconds", "0.1", "--only", "pyloader, 1"],
        "pyloader, 1 worker",
    ),
    (["larger.py", "--gigabytes", "0.1", "--seconds", "0.1", "--repeat", "1"], "pyloader, window 8"),
    (["processes.py", "--lines", "3000", "--repeat", "1", "--rounds", "40"], "2 processes"),
    (["overlap.py", "--steps", "5", "--repeat", "1"], "numpy, 1 x 5 steps"),
    (["instructions.py", "--only", "indexed"], "instructions: "),  # or why nothing is compared here
    (["planned.py", "--settings", "1", "--seconds", "0.1"], "read bytes      within 0.01: 1 of 1"),
    (["tuning.py", "--only", "arrays", "--tiny"], "of the best of 2"),
    (["starting.py", "--samples", "9000"], "window 8: reading"),
    (["splitting.py", "--megabytes", "0.3", "--repeat", "1", "--only", "pyloader, jsonl.zst"], "pyloader, jsonl.zst"),
    (["splitting_cost.py", "--terabytes", "0.04", "--scale", "20000", "--row-bytes", "60"], "range tasks"),
    (["stores.py", "ranks", "--chunks", "8"], "epoch 1, 4 ranks: 0 requests"),
    (["stores.py", "evicting", "--chunks", "160"], "Belady's rule for 48 chunks"),
    (["stores.py", "cold", "--chunks", "2"], "server 50 ms, 100 MB/s: bare"),
    (["store_contenders.py", "--chunks", "2", "--rounds", "1", "--only", "pyloader"], "pyloader, warm: "),
    (["scaling.py", "--most", "5", "--repeat", "1", "--seconds", "0.1"], "10^5   pyloader.indexed"),
]
WITH_FRAMEWORKS = [
    pytest.param(["jit.py", "arrays", "--repeat", "1"], "scan_epoch, pyloader.jax", marks=pytest.mark.frameworks),
    pytest.param(
        ["jit.py", "chunks", "--repeat", "1", "--samples", "9000"],
        "ChunkSource, next",
        marks=pytest.mark.frameworks,
    ),
    pytest.param(
        ["overlap.py", "--framework", "torch", "--steps", "5", "--repeat", "1"],
        "torch, 1 x 5 steps",
        marks=pytest.mark.frameworks,
    ),
    pytest.param(
        ["placing.py", "--tiny", "--device", "cpu", "--repeat", "1", "--workers", "1"],
        "pyloader, window 4, pin_memory, 1 workers, prefetch_to_device",
        marks=pytest.mark.frameworks,
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shows"),
    [*drawn(COMMANDS, 3), *WITH_FRAMEWORKS],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_it_runs_and_shows_its_figures(tmp_path, command, shows):
    for word, package in (
        ("jit.py", "jax"),
        ("placing.py", "torch"),
        ("torch", "torch"),
        ("stores.py", "obstore"),
        ("store_contenders.py", "obstore"),
        ("images.py", "PIL"),
    ):
        if word in command:
            pytest.importorskip(package)
    check_runs(tmp_path, command, shows)


@pytest.mark.frameworks
def test_the_overlap_with_jax_runs_and_shows_its_figures(tmp_path):
    pytest.importorskip("jax")
    check_runs(tmp_path, ["overlap_jax.py", "--steps", "5", "--repeat", "1"], "prefetch_to_device, each loss read")


def check_runs(tmp_path, command, shows):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=BENCHMARKS,
        env={**os.environ, "PYLOADER_BENCH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout
    assert done.stderr == ""


def compare(tmp_path, *words) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, COMPARE, *words],
        env={**os.environ, "PYLOADER_BENCH": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)  # a process for each case; seconds on an idle machine
@pytest.mark.parametrize("workload", drawn(["dense", "small", "text", "tokens", "dense cold"], 1))
def test_every_contender_that_is_installed_delivers_every_sample_once(tmp_path, workload):
    pytest.importorskip("cloudpickle")
    some = [] if ALL else ["--only", "bare loop", "--only", "1 worker"]
    done = compare(tmp_path, "--quick", "--workload", workload, *some, "--output", str(tmp_path), "--write")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "**Tiny data**: these figures show that it works, not how fast it is." in done.stdout
    figures = json.loads((tmp_path / "benchmarks" / "results.json").read_text())
    assert {result["name"] for result in figures["results"]} >= {"bare loop", "pyloader"}
    for result in figures["results"]:
        (run,) = result["runs"]
        assert run["rate"] > 0
        if result["name"] == "pyloader":
            assert run["coverage"] == "once", result
    assert len((tmp_path / "data" / "runs.jsonl").read_text().splitlines()) == len(figures["results"])
    assert done.stdout.strip() in (tmp_path / "benchmarks" / "README.md").read_text()
    assert f"{workload}, samples/s" in (tmp_path / "img" / "benchmarks.svg").read_text()


@pytest.mark.slow
def test_contenders_that_are_not_installed_are_named(tmp_path):
    listed = compare(tmp_path, "--list").stdout
    for package, name in (("torch", "torch DataLoader"), ("litdata", "litdata"), ("loaderx", "loaderx 0.1.7")):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            assert f"skipped: {name}, {package}" in listed
        else:
            assert f"dense: {name}" in listed


@pytest.mark.slow
def test_a_case_that_fails_is_told_with_its_reason_and_the_others_go_on(tmp_path):
    (tmp_path / "data" / "arrays-4100").mkdir(parents=True)
    (tmp_path / "data" / "arrays-4100" / "done").touch()  # and nothing else is
    done = compare(tmp_path, "--quick", "--only", "bare loop", "--workload", "dense", "--workload", "text")
    assert done.returncode == 1
    assert "- dense: bare loop: FileNotFoundError" in done.stdout
    assert "| bare loop |" in done.stdout


@pytest.mark.slow
def test_what_was_measured_before_ctrl_c_is_shown(tmp_path):
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "runs.jsonl")  # so that we hear of the first run
    begin = (
        f"import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_path({COMPARE!r}, "
    )
    words = [sys.executable, "-c", begin + "run_name='__main__')", "--quick", "--only", "bare", "--workload", "tokens"]
    environment = {**os.environ, "PYLOADER_BENCH": str(tmp_path / "data"), "PYTHONPATH": str(BENCHMARKS)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        with open(tmp_path / "data" / "runs.jsonl") as journal:
            first = json.loads(journal.readline())
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=100)
    assert first["name"] == "bare loop"
    assert "stopped: these are the figures until then" in errors
    assert "| bare loop |" in out
    assert "- tokens: bare loop, nanogpt: stopped before it ran" in out


def test_every_contender_has_its_module_and_its_place_in_the_table(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from contenders import CONTENDERS

    modules = {path.stem for path in (BENCHMARKS / "contenders").glob("*.py")} - {"__init__"}
    assert modules == set(CONTENDERS)
    for contender in CONTENDERS.values():
        assert all(contender.measured(workload, all_cases=False) for workload in contender.cases)
        assert contender.apart in (BENCHMARKS.parent / "scripts" / "bench").read_text()


def test_a_version_apart_is_imported_from_its_folder_and_by_its_own_processes_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    from contenders import CONTENDERS
    from running import find_cases, module_path

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setitem(CONTENDERS, "loaderx_2819", replace(CONTENDERS["loaderx_2819"], packages=()))
    find = partial(find_cases, workloads=["dense"], only=["loaderx 2"], all_cases=False)
    assert find() == ([], {"loaderx 2.8.19": "loaderx-2.8.19 not installed"})
    (tmp_path / "loaderx-2.8.19").mkdir()
    assert [str(case) for case in find()[0]] == ["dense: loaderx 2.8.19, 0 workers"]
    assert module_path(CONTENDERS["loaderx_2819"]) == f"{tmp_path / 'loaderx-2.8.19'}{os.pathsep}elsewhere"
    assert module_path(CONTENDERS["loaderx_017"]) == "elsewhere"


def test_every_benchmark_is_run_here():
    tests = Path(__file__).read_text()
    scripts = {path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text()}
    assert not [name for name in scripts - {"measuring.py"} if f'"{name}"' not in tests]
