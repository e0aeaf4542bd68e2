"""A mixture that went on with other weights: what is told and what comes, at its end, after it, and after a reset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from mixed_sources import FAR, write_sources

from pyloader import DataLoader


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    places: dict[str, Path] = write_sources(tmp_path_factory.mktemp("two"), {"one": (12, 4), "other": (40, 8)})
    return {"data_dir": places, "batch_size": 4, "num_workers": 0}


@pytest.fixture
def gone_on(options: dict[str, Any]) -> Iterator[DataLoader]:
    """One step of half and half, then three rows of `one` for each of `other`."""
    with DataLoader(**options, weights={"one": 1, "other": 1}) as loader:
        next(loader)
        state = loader.state_dict()
    with DataLoader(**options, weights={"one": 3, "other": 1}) as loader:
        loader.load_state_dict(state)
        yield loader


def test_at_its_end_the_sources_are_counted_as_they_came_and_not_by_the_new_weights_alone(gone_on: DataLoader) -> None:
    came = [x for batch in gone_on for x in batch["x"].tolist()]
    left_out = {name: of.left_out for name, of in gone_on.stats().sources.items()}
    assert left_out == {"one": 10 - sum(x < FAR for x in came), "other": 38 - sum(x >= FAR for x in came)}


def test_after_a_reset_it_is_a_mixture_of_the_new_weights_alone(gone_on: DataLoader, options: dict[str, Any]) -> None:
    next(gone_on)
    gone_on.reset()
    with DataLoader(**options, weights={"one": 3, "other": 1}) as fresh:
        assert len(gone_on) == len(fresh)
        assert gone_on.locate(0) == fresh.locate(0)
        assert [batch["x"].tolist() for batch in gone_on] == [batch["x"].tolist() for batch in fresh]


def test_the_next_pass_is_left_and_gone_on_with_without_the_loss_of_a_step(options: dict[str, Any]) -> None:
    weights = {"one": 1, "other": 3}
    with DataLoader(**options, weights={"one": 2, "other": 0}) as loader:
        next(loader)
        state = loader.state_dict()
    with DataLoader(**options, weights=weights) as loader, DataLoader(**options, weights=weights) as fresh:
        loader.load_state_dict(state)
        length = len(list(loader)) + 1
        first = [batch["x"].tolist() for batch in islice(loader, length)]
        rest = [batch["x"].tolist() for batch in loader]
        list(fresh)
        assert first + rest == [batch["x"].tolist() for batch in fresh] and rest


@pytest.mark.parametrize("last_batch", ["pad", "wrap"])
def test_a_source_that_is_added_after_a_short_last_step_goes_on_with_a_known_number_of_steps(
    options: dict[str, Any], last_batch: str
) -> None:
    one, places = {"one": options["data_dir"]["one"]}, options["data_dir"]
    options = {**options, "batch_size": 5, "on_exhausted": "drop", "last_batch": last_batch}
    with DataLoader(**{**options, "data_dir": one}, weights={"one": 1}) as loader:
        for _ in range(len(loader)):  # 3, the last of two rows and what fills it up
            next(loader)
        state = loader.state_dict()
    rows = []
    for _ in range(8):  # the 40 rows of `other`
        with DataLoader(**{**options, "data_dir": places}, weights={"one": 1, "other": 1}) as loader:
            loader.load_state_dict(state)
            assert len(loader) == 11
            rows += next(loader)["x"].tolist()
            state = loader.state_dict()
            with pytest.raises(StopIteration) if loader.steps_done == 11 else nullcontext():
                next(loader)
    assert sorted(rows) == [FAR + row for row in range(40)]
