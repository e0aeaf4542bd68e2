"""Sources of a mixture that are encoded each by a dataset of its own, and read by readers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, Dataset, World
from pyloader.errors import BatchEncodeError


class Numbers(Dataset):
    """Makes "x", in some dtype, of the column of a source."""

    def __init__(self, column: str, dtype: str = "float32") -> None:
        self.column, self.dtype, self.calls = column, dtype, 0

    def batch_encode(self, columns: dict[str, Any], keys: np.ndarray) -> dict[str, Any]:
        """Return numbers."""
        self.calls += 1
        assert list(columns) == [self.column] and len(keys) == len(columns[self.column])
        return {"x": np.array([float(value) for value in columns[self.column]], self.dtype)}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    for name, column, first in (("words", "text", 0), ("sums", "number", 1000)):
        with ChunkWriter(root / name, chunk_samples=7) as writer:
            for row in range(40):
                writer.write({column: str(first + row) if column == "text" else first + row})
    return {"words": root / "words", "sums": root / "sums"}


def loader_of(places: dict[str, Path], dataset: Any, **options: Any) -> DataLoader:
    options = {"weights": {"words": 3, "sums": 1}, "batch_size": 8, "num_workers": 0, "with_source": True, **options}
    return DataLoader(data_dir=places, dataset=dataset, shuffle=True, **options)


@pytest.mark.parametrize("num_streams", [1, 2])
def test_sources_with_columns_of_their_own_become_one_batch_and_each_is_encoded_once(places, num_streams):
    datasets = {"words": Numbers("text"), "sums": Numbers("number")}
    options = {"world": World(0, 1, num_streams), "on_exhausted": "drop", "last_batch": "wrap", "batch_size": 12}
    with loader_of(places, datasets, **options) as loader:
        batches = list(loader)
    assert all(((batch["x"] >= 1000) == (batch["source"] == 1)).all() for batch in batches)
    assert {*np.concatenate([batch["x"] for batch in batches]).tolist()} == {*range(40), *range(1000, 1040)}
    assert datasets["words"].calls <= len(batches)
    with loader_of(places, {"words": Numbers("text"), "sums": Numbers("number")}, **options) as loader:
        next(loader)
        state = loader.state_dict()
    with loader_of(places, datasets, **options) as loader:
        loader.load_state_dict(state)
        np.testing.assert_equal(list(loader), batches[1:])


def test_sources_that_differ_after_they_are_encoded_are_an_error_that_names_the_difference(places):
    with (
        loader_of(places, {"words": Numbers("text"), "sums": Numbers("number", "int64")}) as loader,
        pytest.raises(BatchEncodeError, match=r"rows of source number . has 'x' as .* as those of another source"),
    ):
        next(loader)


def test_what_does_not_go_with_datasets_by_source_is_refused(places):
    with pytest.raises(ValueError, match="goes with neither pack= nor max_skipped="):
        loader_of(places, {"words": Numbers("text")}, max_skipped=1)
    with pytest.raises(ValueError, match="dataset names 'books', which is no source"):
        loader_of(places, {"books": Numbers("text")})
    with pytest.raises(ValueError, match=r"dataset=.* is for a mixture"):
        DataLoader(data_dir=places["words"], dataset={"words": Numbers("text")})
