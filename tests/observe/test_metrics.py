"""Metrics: one flat dict of numbers, each of which the page describes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numbered import loader_of, write_chunks

from pyloader import DataLoader, indexed
from pyloader.observe import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "seeing.md"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loaders_metrics_are_numbers_that_agree_with_what_was_delivered(tmp_path, num_workers):
    write_chunks(tmp_path, [40] * 5)
    with loader_of(tmp_path, batch_size=8, shuffle=True, num_workers=num_workers, max_bytes="50MB") as loader:
        assert loader.metrics()["steps"] == 0
        for _ in loader:
            pass
        metrics = loader.metrics()
    assert json.loads(json.dumps(metrics)) == metrics
    assert set(map(type, metrics.values())) <= {int, float}
    assert (metrics["steps"], metrics["samples"], metrics["steps_done"], metrics["epochs_done"]) == (25, 200, 25, 1)
    assert metrics["read_bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 0 < metrics["data_wait_seconds"] <= metrics["loop_seconds"]
    assert metrics["exposed_wait_fraction"] == metrics["data_wait_seconds"] / metrics["loop_seconds"]
    assert metrics["wait_p50_seconds"] <= metrics["wait_p95_seconds"] <= metrics["wait_p99_seconds"]
    assert 0 < metrics["resident_chunks"] <= metrics["resident_chunks_bound"] == 10
    assert 0 < metrics["resident_bytes"] <= metrics["resident_bytes_bound"] == 50_000_000
    assert 1 <= metrics["mixed_chunks"] <= 5


def test_what_is_left_out_is_counted(tmp_path):
    write_chunks(tmp_path, [10, 10])
    (tmp_path / "chunk-0002.numbered").write_text("damaged")
    with loader_of(tmp_path, batch_size=4, last_batch="pad", max_skipped=1) as loader:
        for _ in loader:
            pass
        metrics = loader.metrics()
    assert (metrics["skipped"], metrics["filled_samples"], metrics["dropped_samples"]) == (1, 0, 0)


def test_items_have_the_metrics_of_their_own_stages():
    with indexed.DataLoader({"x": np.arange(100)}, batch_size=10, num_epochs=1) as loader:
        list(loader)
        metrics = loader.metrics()
    assert metrics["samples"] == 100 and "busy_take_seconds" in metrics
    assert not {"read_bytes", "resident_chunks", "busy_read_seconds"} & metrics.keys()


def test_the_names_are_those_of_the_page():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {name: metric.meaning for name, metric in METRICS.items()}


def test_every_name_that_a_loader_has_is_in_the_table(tmp_path):
    with DataLoader(data_dir=np_chunk(tmp_path)) as loader, indexed.DataLoader({"x": np.arange(4)}) as items:
        assert loader.metrics().keys() | items.metrics().keys() <= METRICS.keys()


def np_chunk(directory):
    np.save(directory / "chunk.npy", np.arange(4))
    return directory / "chunk.npy"
