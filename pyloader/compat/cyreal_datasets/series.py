"""Series: sunspots by month, and a city's temperatures by day, as pairs of context and target."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np

from pyloader.compat.cyreal_datasets.download import Place, RemoteFile, cache_place, downloaded, file_in, mismatch
from pyloader.compat.cyreal_datasets.small import SmallDataset
from pyloader.compat.cyreal_datasets.windows import prepare_time_series_windows
from pyloader.errors import DatasetError

__all__ = ["DailyMinTemperaturesDataset", "SunspotsDataset", "load_value_column"]


def load_value_column(path: str | Path, *, skip_header: int = 1, value_column: int = 1) -> np.ndarray:
    """Return one column of a CSV file: float32 [n].

    Raises:
      DatasetError: a row without a number there; the message says which line.
    """
    values = []
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        for row in rows:
            if rows.line_num <= skip_header or not row:
                continue
            try:
                value = float(row[value_column])
                if value != value:
                    raise ValueError("nan")
            except (IndexError, ValueError) as exc:
                what = f"has no number in column {value_column} (counted from 0): {row}."
                raise DatasetError(str(path), what, line=rows.line_num) from exc
            values.append(value)
    return np.array(values, np.float32)


class SunspotsDataset(SmallDataset):
    """Sunspots seen in each month from 1749 to 1983: {"context": float32, "target": float32} a sample.

    Args:
      split: "train", "val" or "test"; val and test begin with the context of their first target.
      overlapping: Whether pairs start at every month; False starts each where the one before has ended.
      context_length: Values in a context; unless given 24, two years (of DailyMinTemperaturesDataset 30, a month).
      prediction_length: Values in the target that follows.
      train_fraction, val_fraction: How the series is cut.
      cache_dir: Where the download is kept; ~/.cache/pyloader/sunspots unless given.
      data_path: The CSV file, if you have it; nothing is downloaded.
      data_dir: A directory that has it.

    Raises:
      ValueError: another split, or a series too short for it.
      DatasetError: the file is missing, damaged, or cannot be downloaded.
    """

    _name: ClassVar[str] = "sunspots"
    # No checksum of it is published, so what was downloaded is told by its rows.
    _remote: ClassVar[RemoteFile] = RemoteFile(
        "https://raw.githubusercontent.com/jbrownlee/Datasets/master/monthly-sunspots.csv"
    )
    _num_values: ClassVar[int] = 2820
    _context_length: ClassVar[int] = 24

    def __init__(
        self,
        split: str = "train",
        overlapping: bool = True,
        context_length: int | None = None,
        prediction_length: int = 1,
        train_fraction: float = 0.8,
        val_fraction: float = 0.0,
        cache_dir: Place = None,
        data_path: Place = None,
        *,
        data_dir: Place = None,
    ) -> None:
        context_length = self._context_length if context_length is None else context_length
        contexts, targets = prepare_time_series_windows(
            self._values(cache_dir, data_path, data_dir),
            split,
            context_length,
            prediction_length,
            train_fraction,
            val_fraction,
            stride=1 if overlapping else context_length + prediction_length,
        )
        super().__init__({"context": contexts, "target": targets})

    @classmethod
    def _values(cls, cache_dir: Place, data_path: Place, data_dir: Place) -> np.ndarray:
        if data_path is not None:
            return load_value_column(data_path)
        if data_dir is not None:
            return load_value_column(file_in(Path(data_dir), [cls._remote.name]))
        path = downloaded(cls._remote, cache_place(cache_dir, cls._name))
        values = load_value_column(path)
        if len(values) != cls._num_values:
            path.unlink()
            raise mismatch(path, cls._remote.url, f"has {len(values):,} values, not {cls._num_values:,}")
        return values


class DailyMinTemperaturesDataset(SunspotsDataset):
    """The lowest temperature of each day in Melbourne, 1981 to 1990.  See SunspotsDataset."""

    _name = "daily_min_temperatures"
    _remote = RemoteFile("https://raw.githubusercontent.com/jbrownlee/Datasets/master/daily-min-temperatures.csv")
    _num_values = 3650
    _context_length = 30
