"""Predicting: what a loader says beforehand, against what it then takes."""

from __future__ import annotations

import numpy as np
import pytest
from array_chunks import write_array_chunks
from mixed_sources import write_sources

from pyloader import ChunkWriter, DataLoader
from pyloader.errors import DataDirError
from pyloader.run.predicting import RowBytes, options_of, predict

SETTINGS = [
    {"batch_size": 16, "shuffle_window": 1},
    {"batch_size": 16, "shuffle_window": 4},
    {"batch_size": 50, "shuffle_window": 20, "max_queue_size": 25, "last_batch": "pad"},
    {"batch_size": 33, "shuffle_window": 2, "max_queue_size": 3, "last_batch": "drop"},
    {"batch_size": 8, "shuffle_window": 3, "last_batch": "wrap", "world": (1, 3)},
    {"batch_size": 8, "shuffle_window": 2, "last_batch": "drop", "world": (0, 2)},
    {"batch_size": 16, "shuffle": False},
]


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    return write_array_chunks(tmp_path_factory.mktemp("arrays") / "chunks")


def loader_of(chunks, **options):
    return DataLoader(data_dir=chunks, **{"shuffle": True, "world": None, **options})


@pytest.mark.parametrize("options", SETTINGS)
def test_steps_bytes_and_the_rows_left_over_are_those_of_the_run(chunks, options):
    with loader_of(chunks, **options, num_epochs=2, num_workers=0) as loader:
        plan = loader.plan(num_epochs=2)
        num_batches = sum(1 for _ in loader)
        metrics = loader.metrics()
    assert plan.steps_per_epoch * 2 == num_batches
    assert plan.read_bytes == metrics["read_bytes"]
    if plan.num_ranks == 1:
        assert 2 * plan.dropped_samples == metrics["dropped_samples"]
        assert 2 * plan.filled_samples == metrics["filled_samples"]


@pytest.mark.parametrize("options", SETTINGS)
def test_what_is_resident_at_once_is_within_five_percent(chunks, options):
    with loader_of(chunks, **options, num_epochs=2, num_workers=0, max_bytes="1GB") as loader:
        plan = loader.plan()
        for _ in loader:
            pass
        metrics = loader.metrics()
    assert plan.resident_chunks == pytest.approx(metrics["resident_chunks"], rel=0.05)
    assert plan.resident_bytes == pytest.approx(metrics["resident_bytes"], rel=0.05)


@pytest.mark.parametrize("options", SETTINGS)
def test_the_mixing_is_within_five_percent_of_that_of_batches(chunks, options):
    found = []
    for seed in range(6):
        with loader_of(chunks, **options, seed=seed) as loader:
            plan = loader.plan()
            first, size = plan.rank * plan.batch_size, plan.batch_size
            located = [loader.locate(step) for step in range(487 // (size * plan.num_ranks))]
        for expected, rows in (
            (plan.mixed_chunks, slice(first, first + size)),
            (plan.mixed_chunks_of_all, slice(None)),
        ):
            counts = [np.unique([name for name, _ in batch[rows]], return_counts=True)[1] for batch in located]
            found.append((expected, np.mean([each.sum() ** 2 / (each**2).sum() for each in counts])))
    expected, real = np.mean(found, axis=0)
    assert expected == pytest.approx(real, rel=0.05)


def test_all_ranks_read_what_each_reads(chunks):
    options = {"batch_size": 8, "shuffle_window": 2, "last_batch": "drop"}
    plans = []
    for rank in range(3):
        with loader_of(chunks, **options, world=(rank, 3)) as loader:
            plans.append(loader.plan())
    assert {plan.read_bytes_of_all for plan in plans} == {sum(plan.read_bytes for plan in plans)}


def test_nothing_is_read_for_a_plan(chunks, tmp_path):
    with loader_of(chunks, batch_size=16) as loader:
        for path in chunks.glob("*.columns/*.npy"):
            path.rename(tmp_path / f"{path.parent.name}-{path.name}")
        try:
            assert loader.plan().steps_per_epoch == 31
        finally:
            for path in tmp_path.iterdir():
                directory, _, name = path.name.rpartition("-")
                path.rename(chunks / directory / name)


def test_a_bound_on_bytes_bounds_what_is_predicted(chunks):
    with loader_of(chunks, batch_size=16, max_bytes=275_000) as loader:
        assert loader.plan().resident_bytes == 275_000


def test_what_a_row_takes_is_not_guessed(tmp_path):
    with ChunkWriter(tmp_path / "text", chunk_samples=10) as writer:
        for number in range(40):
            writer.write({"text": f"line {number}"})
    with loader_of(tmp_path / "text", batch_size=4) as loader:
        assert loader.plan().resident_bytes is None
        options = options_of(loader)
        assert predict(options, row_bytes=RowBytes(100, 100, is_arrays=False)).resident_bytes > 40 * 100


def test_without_counts_it_says_what_to_do(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(20))
    with loader_of(tmp_path, batch_size=16) as loader, pytest.raises(DataDirError, match="pyloader index"):
        loader.plan()


def test_the_mixing_that_a_run_counts_is_that_of_all_its_segments(chunks):
    found = []
    for seed in range(4):
        with loader_of(chunks, batch_size=9, shuffle_window=4, seed=seed, num_workers=0) as loader:
            for _ in loader:
                pass
            found.append((loader.plan().mixed_chunks, loader.metrics()["mixed_chunks"]))
            assert loader._counters.mixing[1] >= 10  # segments whose first rows are carried too
    expected, counted = np.mean(found, axis=0)
    assert counted == pytest.approx(expected, rel=0.06)


MIXTURES = [
    {"weights": {"web": 6, "math": 1}},
    {"weights": {"web": 1, "math": 1}, "on_exhausted": "repeat", "num_steps": 70},
    {"last_batch": "drop", "world": (1, 2), "batch_size": 8},
    {"weights": {"web": 3, "math": 1}, "on_exhausted": "drop", "last_batch": "pad"},
    {"last_batch": "drop", "num_steps": 10, "shuffle": False},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", MIXTURES)
def test_a_mixture_says_its_steps_bytes_and_mixing_too(tmp_path, options):
    places = write_sources(tmp_path, {"web": (401, 40), "math": (90, 30)})
    with loader_of(places, **{"batch_size": 16, **options}) as loader:
        plan = loader.plan()
        located = [loader.locate(step) for step in range(len(loader))]
        assert plan.steps_per_epoch == sum(1 for _ in loader)
        metrics = loader.metrics()
    names = ("read_bytes", "dropped_samples", "filled_samples", "resident_chunks_bound")
    if plan.num_ranks == 1:
        assert [getattr(plan, name) for name in names] == [metrics[name] for name in names]
    assert plan.read_bytes == metrics["read_bytes"] <= plan.read_bytes_of_all
    assert plan.resident_chunks <= plan.resident_chunks_bound
    counts = [np.unique([f"{row[0]} {row[1]}" for row in rows], return_counts=True)[1] for rows in located]
    mixed = np.mean([each.sum() ** 2 / (each**2).sum() for each in counts])
    assert plan.mixed_chunks_of_all == pytest.approx(mixed, rel=0.05)


def test_a_mixture_without_an_end_has_no_plan(tmp_path):
    places = write_sources(tmp_path, {"web": (40, 10)})
    with (
        loader_of(places, weights={"web": 1}, on_exhausted="repeat", batch_size=4) as loader,
        pytest.raises(ValueError, match="num_steps= sets it"),
    ):
        loader.plan()
