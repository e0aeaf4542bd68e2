"""Polars: the rows of a data frame."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pyloader.errors import DatasetError, import_optional
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows

__all__ = ["PolarsDataset"]

_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".ndjson": "read_ndjson",
    ".jsonl": "read_ndjson",
    ".arrow": "read_ipc",
    ".feather": "read_ipc",
    ".ipc": "read_ipc",
}


class PolarsDataset(Dataset[dict[str, Any]]):
    """The rows of a Polars data frame, each a dict.

    Columns of numbers, booleans and dates come as arrays (pl.Array as two-dimensional ones), all others as lists; so
    does a column with a null anywhere in the frame, with None.

    Args:
      frame: A polars.DataFrame; or a file, read whole: .parquet, .csv, .ndjson, .jsonl, .arrow, .feather, .ipc.

    Raises:
      DatasetError: the file is of another kind, or damaged.
      TypeError: it is no frame.
      MissingDependencyError: polars is not installed.
    """

    is_thread_safe = True

    def __init__(self, frame: Any) -> None:
        polars = import_optional("polars", wanted_by="PolarsDataset")
        if isinstance(frame, str | os.PathLike):
            frame = _read(polars, os.fspath(frame))
        if isinstance(frame, polars.LazyFrame):
            raise TypeError("a LazyFrame has no rows yet; write PolarsDataset(frame.collect())")
        if not isinstance(frame, polars.DataFrame):
            raise TypeError(f"PolarsDataset needs a polars.DataFrame or a file, got {type(frame).__name__}")
        self.frame = frame
        # By the whole column, not by the rows that are asked for: a column is the same in every batch.
        self._arrays = {
            series.name for series in frame.get_columns() if _is_number(series.dtype) and not series.null_count()
        }

    def __len__(self) -> int:
        return int(self.frame.height)

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows at `indices`, as columns."""
        return {
            series.name: series.to_numpy(writable=True) if series.name in self._arrays else series.to_list()
            for series in self.frame[indices].get_columns()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} rows of {', '.join(self.frame.columns)})"


def _is_number(dtype: Any) -> bool:
    kind = getattr(dtype, "inner", dtype) if dtype.base_type().__name__ == "Array" else dtype
    name = kind.base_type().__name__
    return bool(kind.is_integer() or kind.is_float() or name in ("Boolean", "Date", "Datetime", "Duration"))


def _read(polars: Any, path: str) -> Any:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _READERS:
        raise DatasetError(
            path, f"ends in {suffix!r}, which PolarsDataset does not read.", f"Known: {', '.join(_READERS)}"
        )
    try:
        return getattr(polars, _READERS[suffix])(path)
    except polars.exceptions.PolarsError as exc:
        raise DatasetError(
            path, f"is damaged, or of another kind ({exc}).", "Fetch it again, or make it again"
        ) from exc
