"""Ragged columns with random access: in memory, in chunks, mixed, and cached."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader import ChunkWriter, NumpyDataCollator, PaddingDataCollator, Ragged
from pyloader.errors import CollateError
from pyloader.indexed import CachedDataset, ChunkedDataset, CombinedDataset, DataLoader, InMemoryDataset

IDS = Ragged(np.arange(60, dtype="i4"), np.array([0, 3, 3, 10, 11, 30, 31, 40, 60]))
IMAGES = Ragged.from_rows([bytes([number]) * number for number in range(8)])


@pytest.fixture
def columns():
    return {"ids": IDS, "image": IMAGES, "n": np.arange(8)}


def padded(rows) -> list[list[int]]:
    longest = max(map(len, rows))
    return [[*row, *[0] * (longest - len(row))] for row in rows]


def dataset_of(kind, columns, tmp_path):
    if kind == "in chunks":
        with ChunkWriter(tmp_path, chunk_samples=3) as writer:
            writer.write_columns(columns)
        return ChunkedDataset(tmp_path)
    if kind == "combined":
        halves = ({name: values[part] for name, values in columns.items()} for part in (slice(0, 3), slice(3, 8)))
        return CombinedDataset(*map(InMemoryDataset, halves))
    whole = InMemoryDataset(columns)
    return CachedDataset(whole) if kind == "cached" else whole


KINDS = pytest.mark.parametrize("kind", ["in memory", "in chunks", "combined", "cached"])


@KINDS
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_pads_rows_in_any_order(kind, num_workers, columns, tmp_path):
    dataset = dataset_of(kind, columns, tmp_path)
    loader = DataLoader(
        dataset, datacollator=PaddingDataCollator(), batch_size=3, shuffle=True, num_workers=num_workers, num_epochs=1
    )
    seen = []
    with loader:
        for batch in loader:
            numbers = batch["n"].tolist()
            seen += numbers
            assert batch["ids"].tolist() == padded([IDS[number].tolist() for number in numbers])
            assert batch["ids"].dtype == np.int32
            assert batch["image"] == [IMAGES[number] for number in numbers]
    assert sorted(seen) == list(range(8))


@KINDS
def test_an_item_has_its_row(kind, columns, tmp_path):
    item = dataset_of(kind, columns, tmp_path)[2]
    assert item["ids"].tolist() == IDS[2].tolist()
    assert item["image"] == b"\2\2"


def test_numbers_without_a_padding_are_an_error_that_names_it(columns):
    with (
        pytest.raises(
            CollateError, match=r"'ids' is ragged, with rows of 1 to 20 .*datacollator=pyloader\.PaddingDataCol"
        ),
        DataLoader(columns, batch_size=4) as loader,
    ):
        next(iter(loader))
    with (
        pytest.raises(CollateError, match=r"'ids' is ragged, .*datacollator=pyloader\.PaddingDataCollator"),
        DataLoader(columns, datacollator=NumpyDataCollator(dtypes={"n": "i4"}), batch_size=4) as loader,
    ):
        next(iter(loader))


def test_bytes_alone_become_a_list(columns):
    with DataLoader({"image": IMAGES}, batch_size=4, shuffle=False) as loader:
        assert next(iter(loader))["image"] == IMAGES[:4].to_list()


def test_ragged_columns_of_other_dtypes_are_not_combined(columns):
    other = {**columns, "ids": Ragged.from_rows([[1]] * 8, dtype="i8")}
    combined = CombinedDataset(InMemoryDataset(columns), InMemoryDataset(other))
    with pytest.raises(ValueError, match="one gives ragged rows of int32, another ragged rows of int64"):
        combined.take(np.array([0, 9]))
