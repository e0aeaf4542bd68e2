"""Laws 2, 3 and 4 for mixtures, on everything drawn at once: a dozen cases, 200 with PYLOADER_ALL.

PYLOADER_CASES=5000 asks for as many.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixed_sources import FAR, mixed_ranks, step_of_all, steps_of_all, write_sources
from products import ALL, seeds

from pyloader import DataLoader
from pyloader.errors import DataDirError

SIZES = {"web": (151, 30), "code": (90, 9), "math": (40, 40), "wiki": (23, 2), "tiny": (3, 3), "uneven": (64, 11)}
CASES = int(os.environ.get("PYLOADER_CASES", "200" if ALL else "12"))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_sources(tmp_path_factory.mktemp("sources"), SIZES)


@dataclass
class Case:
    """A mixture, and how it is read."""

    random: random.Random
    names: list[str]
    num_streams: int
    sizes: list[int]  # numbers of ranks
    share: int
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def drawn(cls, seed: int, places: dict[str, Path]) -> Case:
        chance = random.Random(seed)
        num_streams = chance.choice([1, 1, 2, 3, 4, 6])
        names = chance.sample(list(places), chance.randint(1, len(places)))
        rule = chance.choice(["stop", "drop", "repeat"])
        if rule != "repeat":
            names = [name for name in names if SIZES[name][0] >= num_streams] or ["web"]
        shuffle = chance.random() < 0.7
        last_batch = chance.choice(["drop", "pad", "wrap", *(["keep"] if num_streams == 1 else [])])
        options: dict[str, Any] = {
            "data_dir": {name: places[name] for name in names},
            "weights": weights_of(chance, names),
            "on_exhausted": rule,
            "num_steps": chance.randint(1, 60) if rule == "repeat" or chance.random() < 0.3 else None,
            "last_batch": last_batch,
            "shuffle": shuffle,
            "seed": chance.randrange(2**40),
            "num_workers": chance.choice([0, 0, 1]),
        }
        if shuffle and chance.random() < 0.5:
            options["shuffle_window"] = chance.choice([1, 3, {name: chance.randint(1, 5) for name in names}])
            options["max_queue_size"] = 1000
        sizes = [size for size in range(1, num_streams + 1) if num_streams % size == 0]
        return cls(chance, names, num_streams, sizes, chance.choice([1, 2, 3, 7]), options)

    def ranks(self, size: int) -> Any:
        return mixed_ranks(size, self.num_streams, share=self.share, **self.options)


def weights_of(chance: random.Random, names: list[str]) -> Any:
    def drawn() -> dict[str, float]:
        found = {name: chance.choice([0, 1, 2, 5, round(chance.random(), 3), chance.random()]) for name in names}
        return found if any(found.values()) else dict.fromkeys(names, 1)

    kind = chance.random()
    if kind < 0.2:
        return None
    return drawn() if kind < 0.7 else [(step, drawn()) for step in sorted(chance.sample(range(40), 3))]


def run_drawn(case: Case) -> tuple[list[dict[str, np.ndarray]], list[dict[str, Any]]]:
    """Return the batches over all ranks, with runs that stop and go on on other numbers of ranks; and the states."""
    batches: list[dict[str, np.ndarray]] = []
    states: list[dict[str, Any]] = []
    is_over = False
    while not is_over:
        with case.ranks(case.random.choice(case.sizes)) as loaders:
            if states:
                for loader in loaders:
                    loader.load_state_dict(states[-1])
            until = case.random.choice([1, 3, 20, 1000])
            for _ in range(until):
                if (batch := step_of_all(loaders)) is None:
                    is_over = True
                    break
                batches.append(batch)
                texts = {json.dumps(loader.state_dict()) for loader in loaders}
                assert len(texts) == 1, "the states of two ranks differ"
                states.append(json.loads(texts.pop()))
    return batches, states


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
    batches, _ = run_drawn(case)
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
