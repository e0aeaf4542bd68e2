"""Laws 2, 3 and 4 for mixtures, on everything drawn at once: a dozen cases, 200 with PYLOADER_ALL.

PYLOADER_CASES=5000 asks for as many.
"""

from __future__ import annotations

import os
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from mixed_cases import SIZES, Case, run_drawn
from mixed_sources import FAR, steps_of_all, write_sources
from products import ALL, seeds

from pyloader import DataLoader
from pyloader.errors import DataDirError

CASES = int(os.environ.get("PYLOADER_CASES", "200" if ALL else "12"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_sources(tmp_path_factory.mktemp("sources"), SIZES)


@pytest.mark.parametrize("seed", seeds(CASES))
def test_any_ranks_and_resumes_give_the_same_batches_each_source_its_share_and_every_row_once(
    seed: int, places: dict[str, Path]
) -> None:
    try:
        case = Case.drawn(seed, places)
        with case.ranks(case.sizes[-1]) as loaders:
            expected = steps_of_all(loaders)
            assert len(expected) == len(loaders[0])
    except (ValueError, DataDirError) as exc:
        assert "never come" in str(exc) or "make no batch" in str(exc)
        return
    batches = run_drawn(case)
    np.testing.assert_equal(batches, expected)
    with case.ranks(1) as [loader]:
        assert_shares(loader, case, batches)
        assert_once_an_epoch(case, batches)
        assert_located(loader, case, batches)


def assert_shares(loader: DataLoader, case: Case, batches: list[dict[str, np.ndarray]]) -> None:
    """Assert that each source has its share in every stream at every step, within one row."""
    streams = loader._options.run.streams
    schedule, mark = streams.schedule, streams.mark(streams.known)
    rows = np.zeros((case.num_streams, len(case.names)), np.int64)
    places = sorted(range(len(case.names)), key=lambda place: case.names[place])
    for step, batch in enumerate(batches, start=1):
        mask = batch.get("mask", np.ones(len(batch["x"]), bool))
        is_whole = len(batch["x"]) == case.share * case.num_streams and mask.all()
        for stream, (sources, good) in enumerate(
            zip(np.split(batch["source"], case.num_streams), np.split(mask, case.num_streams), strict=True)
        ):
            rows[stream] += np.bincount(sources[good], minlength=len(case.names))
        base, shares = (mark.base_step, mark.base_rows), schedule._shares_from(mark)
        mark = schedule.after(mark)
        if not is_whole or (mark.base_step, mark.base_rows) != base or case.options["last_batch"] == "wrap":
            continue
        for place, has in zip(places, mark.rows, strict=True):
            assert (rows[:, place] == has).all()
        since, until = shares.before(base[0]), shares.before(step)
        for start, stop, before, has in zip(since, until, base[1], mark.rows, strict=True):
            assert abs(Fraction(case.share * (stop - start), shares.scale) - (has - before)) < 1


def assert_once_an_epoch(case: Case, batches: list[dict[str, np.ndarray]]) -> None:
    """Assert that each source's rows come once before any comes again, and with another key each time."""
    came: dict[int, list[np.ndarray]] = defaultdict(list)
    for step, batch in enumerate(batches, start=1):
        if step == len(batches) and case.options["on_exhausted"] == "drop":
            continue  # what fills it up are rows that have come
        for stream in np.split(np.arange(len(batch["x"])), case.num_streams):
            for place in range(len(case.names)):
                mine = stream[batch["source"][stream] == place]
                came[place].append(np.stack([batch["x"][mine], batch["key"][mine]]))
    for place, name in enumerate(case.names):
        found = np.concatenate(came[place], axis=1) if came[place] else np.zeros((2, 0))
        num_rows, times = SIZES[name][0], np.unique(found[0], return_counts=True)[1]
        assert (found[0].astype(np.int64) // FAR == list(SIZES).index(name)).all()
        assert times.max(initial=0) <= -(-found.shape[1] // num_rows) + 1
        if case.options["on_exhausted"] != "repeat":
            assert times.max(initial=0) <= 1
        assert len(np.unique(found[1])) == found.shape[1]


def assert_located(loader: DataLoader, case: Case, batches: list[dict[str, np.ndarray]]) -> None:
    """Assert that steps have the rows that `locate` says, asked in any order."""
    for step in case.random.sample(range(len(batches)), min(4, len(batches))):
        said = [
            list(SIZES).index(name) * FAR + int(chunk[6:11]) * SIZES[name][1] + row  # "chunk-00012.jsonl.zst"
            for name, chunk, row in loader.locate(step)
        ]
        assert said == batches[step]["x"].tolist()
