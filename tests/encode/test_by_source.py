"""Sources of a mixture that are encoded each by a dataset of its own, and read by readers of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, Dataset, Packing, World
from pyloader.audit import audit_sources
from pyloader.errors import BadRowsError, BatchEncodeError
from pyloader.files import list_chunks
from pyloader.run.replacements import replacement_rows
from pyloader.run.units import units_of_order


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


class Refusing(Numbers):
    """The same, but for some numbers, which it says in one call or by an error each."""

    def __init__(self, column: str, bad: set[int], *, tells: bool) -> None:
        super().__init__(column)
        self.bad, self.tells = bad, tells

    def batch_encode(self, columns: dict[str, Any], keys: np.ndarray) -> dict[str, Any]:
        """Return numbers.

        Raises:
          BadRowsError, ValueError: some of them are bad.
        """
        bad = [row for row, value in enumerate(columns[self.column]) if int(value) in self.bad]
        if bad and self.tells:
            raise BadRowsError({row: f"is {columns[self.column][row]}" for row in bad})
        if bad:
            raise ValueError(f"is {columns[self.column][bad[0]]}")
        return super().batch_encode(columns, keys)


@pytest.mark.parametrize("tells", [True, False])
def test_rows_that_a_dataset_of_a_source_refuses_are_left_out_and_others_of_the_source_stand_in(places, tells):
    datasets = {"words": Refusing("text", {3, 8, 9}, tells=tells), "sums": Refusing("number", {1005}, tells=tells)}
    options = {"on_exhausted": "drop", "last_batch": "drop", "weights": None, "max_skipped": 9}
    with loader_of(places, datasets, **options) as loader:
        batches, stats = list(loader), loader.stats()
    assert all(((batch["x"] >= 1000) == (batch["source"] == 1)).all() for batch in batches)
    assert {*np.concatenate([batch["x"] for batch in batches]).tolist()} == {
        *range(40), *range(1000, 1040)
    } - {3, 8, 9, 1005}  # fmt: skip
    assert len(stats.skipped) == stats.stand_ins == 4
    assert sum("is 1005" in reason for reason in stats.skipped.values()) == 1
    with (
        loader_of(places, datasets, **{**options, "max_skipped": 2}) as loader,
        pytest.raises(BatchEncodeError if tells else ValueError, match=r"is (3|8|9|1005)"),
    ):
        list(loader)


def test_a_row_of_the_same_source_stands_in_where_there_is_a_good_one_and_else_the_next():
    sources = np.array([0, 0, 1, 2, 2])
    assert replacement_rows(5, [1, 2, 4], sources).tolist() == [0, 0, 3, 3, 3]
    assert replacement_rows(5, [1, 2, 4]).tolist() == [0, 3, 3, 3, 0]


def test_a_row_that_a_dataset_says_is_bad_is_named_in_its_source(places, tmp_path):
    datasets = {"words": Numbers("text"), "sums": Refusing("number", {1005}, tells=True)}
    with (
        loader_of(places, datasets, weights=None, on_exhausted="drop", audit_dir=tmp_path) as loader,
        pytest.raises(BadRowsError, match=r"sums/chunk-00000.jsonl.zst, row 5: is 1005"),
    ):
        list(loader)


class Marked(Dataset):
    """Packed rows, their tokens moved by a number that says by which source's dataset, and nothing else of them."""

    def __init__(self, by: int) -> None:
        self.by = by

    def batch_encode(self, columns: dict[str, Any], keys: np.ndarray) -> dict[str, Any]:
        """Return tokens, the mask, and the keys."""
        assert columns["tokens"].shape == columns["segment_ids"].shape and len(keys) == len(columns["tokens"])
        mask = columns["segment_ids"] > 0
        return {"tokens": columns["tokens"].astype(np.int64) + self.by * mask, "segment_ids": columns["segment_ids"]}


@pytest.mark.slow
@pytest.mark.parametrize("skips", [0, 3])
def test_packed_rows_of_each_source_are_encoded_by_its_dataset(tmp_path, skips):
    for place, name in enumerate(("long", "short")):
        with ChunkWriter(tmp_path / name, chunk_samples=9, format="columns") as writer:
            for row in range(60):
                sample = {"tokens": np.full(row % (9 - 5 * place) + 1, place + 1, np.uint16)}
                writer.write({**sample, "score": np.full(len(sample["tokens"]), 0.5)} if place else sample)
    options: dict[str, Any] = {"batch_size": 8, "num_workers": 0, "with_source": True, "last_batch": "pad"}
    options |= {"pack": Packing(length=12, max_documents=4), "audit_dir": tmp_path / "receipts", "max_skipped": skips}
    places = {name: tmp_path / name for name in ("long", "short")}
    with DataLoader(
        data_dir=places, dataset={"long": Marked(10), "short": Marked(20)}, shuffle=True, **options
    ) as loader:
        batches = list(loader)
    for batch in batches:
        wanted = np.where(batch["segment_ids"] > 0, np.where(batch["source"] == 0, 11, 22)[:, None], 0)
        assert (batch["tokens"] == wanted).all()
        assert batch["cu_seqlens"].shape == (8 * 5 + 1,) and batch["cu_seqlens"][-1] == 8 * 12
    chunks = {name: list_chunks(place) for name, place in places.items()}
    audit = audit_sources(tmp_path / "receipts", chunks, units_of_order)
    assert audit.is_good and [each.state for each in audit.sources] == ["complete", "complete"]


def test_datasets_by_source_are_those_of_sources(places):
    with pytest.raises(ValueError, match="dataset names 'books', which is no source"):
        loader_of(places, {"books": Numbers("text")})
    with pytest.raises(ValueError, match=r"dataset=.* is for a mixture"):
        DataLoader(data_dir=places["words"], dataset={"words": Numbers("text")})
