"""Run notes: what a log says beside the metrics, and no more than a line has room for."""

from __future__ import annotations

import json

import pytest
from numbered import loader_of, write_chunks
from small_stores import from_store, write_chunks_of
from store_server import StoreServer

from pyloader import DataLoader
from pyloader.observe.chunk_stats import ChunkStats


def lines_of(directory, rank=0):
    return [json.loads(line) for line in (directory / f"rank-{rank:05d}.jsonl").read_text().splitlines()]


def test_a_line_says_which_chunks_met_and_which_step_was_waited_for_longest(tmp_path):
    write_chunks(tmp_path / "chunks", [10] * 8)
    options = {"shuffle": True, "shuffle_window": 2, "log_dir": tmp_path / "run"}
    with loader_of(tmp_path / "chunks", batch_size=2, **options) as loader:
        list(loader)
    first, *_, last = lines_of(tmp_path / "run")
    assert first["about"]["num_chunks"] == 8 and first["about"]["options"]["shuffle_window"] == 2
    assert first["about"]["threads"] == {"read": 1, "shuffle": 1, "encode": 1, "collate": 1}
    assert 1 <= len(last["chunks"]) <= 3 and set(last["chunks"]) <= set(range(8))
    slowest = last["slowest"]
    assert 1 <= slowest["step"] < 40 and 0 < slowest["wait_seconds"] <= last["longest_wait_seconds"] * 1.001
    assert {name[:6] for name in slowest["files"]} == {"chunk-"}


def test_the_step_is_counted_over_all_runs_also_where_a_run_resumes(tmp_path):
    write_chunks(tmp_path / "chunks", [4] * 5)
    with loader_of(tmp_path / "chunks", batch_size=2, num_workers=0) as loader:
        for _ in range(6):
            next(loader)
        state = loader.state_dict()
    with loader_of(tmp_path / "chunks", batch_size=2, num_workers=0, log_dir=tmp_path / "run") as loader:
        loader.load_state_dict(state)
        assert len(list(loader)) == 4
    slow = [line["slowest"]["step"] for line in lines_of(tmp_path / "run") if "slowest" in line]
    assert slow and set(slow) <= {7, 8, 9}


def test_what_is_left_out_is_noted_once_and_a_few_in_a_line(tmp_path):
    write_chunks(tmp_path / "chunks", [2] * 20)
    for index in range(0, 20, 2):
        (tmp_path / "chunks" / f"chunk-{index:04d}.numbered").write_text("x" * 2000)
    options = {"max_skipped": 10, "last_batch": "pad", "num_workers": 0, "log_dir": tmp_path / "run"}
    with loader_of(tmp_path / "chunks", batch_size=2, **options) as loader:
        list(loader)
    noted = [line["left_out"] for line in lines_of(tmp_path / "run") if "left_out" in line]
    names = [name for found in noted for name in found]
    assert len(names) == len(set(names)) == 10
    assert all(len(reason) <= 300 for found in noted for reason in found.values())


def test_what_the_cache_takes_stands_beside_its_bound(tmp_path):
    pytest.importorskip("obstore")
    with StoreServer() as server:
        server.put_directory(write_chunks_of(".npy", tmp_path / "made"), "bucket/chunks")
        place = from_store(server, tmp_path / "cache", cache_bytes="50MB", log_dir=tmp_path / "run")
        with DataLoader(batch_size=4, **place) as loader:
            list(loader)
            assert loader.metrics()["busy_fetch_seconds"] > 0
    last = lines_of(tmp_path / "run")[-1]
    assert 0 < last["cache_bytes"] <= last["cache_bytes_bound"] == 50_000_000


def test_threads_that_were_others_than_at_first_are_noted_from_then_on(tmp_path, monkeypatch):
    now = {"read": 3}
    monkeypatch.setattr(ChunkStats, "num_threads", lambda self, stage: now.get(stage, 1))
    write_chunks(tmp_path / "chunks", [4] * 5)
    with loader_of(tmp_path / "chunks", batch_size=2, num_workers=1, num_epochs=2, log_dir=tmp_path / "run") as loader:
        next(loader)
        now["read"] = 1
        list(loader)
    begun, first, *_, last = lines_of(tmp_path / "run")
    assert begun["about"]["num_epochs"] == 2 and begun["about"]["threads"]["read"] == 1
    assert first["threads"]["read"] == 3 and last["threads"]["read"] == 1
