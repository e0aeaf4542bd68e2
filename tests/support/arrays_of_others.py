"""The same rows as HDF5, Zarr, a saved Hugging Face dataset and Lance, each written by its own library."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

__all__ = ["WRITERS", "write_hugging_face"]


def rows_of(first: int, count: int) -> dict[str, Any]:
    """Return rows that are their numbers, from `first` on."""
    ids = np.arange(first, first + count)
    return {
        "id": ids,
        "vector": np.stack([ids, -ids], axis=1).astype(np.float32),
        "text": [f"text {number} é" for number in ids.tolist()],
        "tokens": [np.full(number % 4, number, np.int32) for number in ids.tolist()],
    }


def write_hdf5(directory: Path, count: int, files: int) -> None:
    """Write HDF5 files with storage chunks of two rows."""
    h5py = pytest.importorskip("h5py")
    for number in range(files):
        rows = rows_of(number * count, count)
        with h5py.File(directory / f"{number}.h5", "w") as file:
            file.create_dataset("id", data=rows["id"], chunks=(2,), compression="gzip")
            file.create_dataset("vector", data=rows["vector"])
            file.create_dataset("text", data=rows["text"], dtype=h5py.string_dtype())
            tokens = file.create_dataset("tokens", (count,), dtype=h5py.vlen_dtype(np.int32))
            for row, value in enumerate(rows["tokens"]):
                tokens[row] = value


def write_zarr(directory: Path, count: int, files: int) -> None:
    """Write Zarr directories with chunks, and shards, of two rows."""
    zarr = pytest.importorskip("zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(files):
            rows = rows_of(number * count, count)
            group = zarr.open_group(directory / f"{number}.zarr", mode="w")
            group.create_array("id", data=rows["id"], chunks=(2,))
            group.create_array("vector", data=rows["vector"], chunks=(1, 1), shards=(2, 2))
            group.create_array("text", shape=(count,), chunks=(2,), dtype=str)[:] = np.array(rows["text"], object)


def write_hugging_face(directory: Path, count: int, files: int) -> None:
    """Write what save_to_disk writes, with record batches of two rows."""
    arrow = pytest.importorskip("pyarrow")
    names = [f"data-{number:05}-of-{files:05}.arrow" for number in range(files)]
    for number, name in enumerate(names):
        rows = rows_of(number * count, count)
        vectors = arrow.FixedSizeListArray.from_arrays(rows["vector"].ravel(), 2)
        table = arrow.table({**rows, "vector": vectors})
        with arrow.OSFile(str(directory / name), "wb") as file, arrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    (directory / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (directory / "dataset_info.json").write_text("{}")


def write_lance(directory: Path, count: int, files: int) -> None:
    """Write Lance datasets with fragments of five rows."""
    lance, arrow = pytest.importorskip("lance"), pytest.importorskip("pyarrow")
    for number in range(files):
        rows = rows_of(number * count, count)
        vectors = arrow.FixedSizeListArray.from_arrays(rows["vector"].ravel(), 2)
        table = arrow.table({**rows, "vector": vectors})
        lance.write_dataset(table, directory / f"{number}.lance", max_rows_per_file=5)


WRITERS: dict[str, Callable[[Path, int, int], None]] = {
    "hdf5": write_hdf5,
    "zarr": write_zarr,
    "huggingface": write_hugging_face,
    "lance": write_lance,
}
