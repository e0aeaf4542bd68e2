"""Parquet: the rows of Parquet files, read by row group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from pyloader.columns import Columns
from pyloader.errors import DatasetError, import_optional
from pyloader.indexed.blocks import BlockDataset
from pyloader.options import checked_integer
from pyloader.read import ParquetReader
from pyloader.read.parquet import check_footer, damaged, read_footer, read_row_groups

__all__ = ["ParquetDataset"]


class ParquetDataset(BlockDataset):
    """The rows of Parquet files, each a dict.

    A row group can only be decoded whole, and the latest few are kept: for reading in order, or from a file whose row
    groups all fit into what is kept.  To train in random order on a larger one, split it (`pyloader split`), and
    stream the chunks.

    Columns are what ParquetReader makes of them, the same in every row group: arrays of numbers, booleans and dates;
    lists of all else, and where a null is anywhere in the files, or could be by what they say.

    Args:
      path: A file, or several, whose rows come one after another.
      columns: The columns to read; others are not touched on disk.  None: all.
      fill: What stands for null, by column: {"score": 0.0}.
      dtypes: The dtypes of number columns, {"score": "float32"}.
      cached_groups: How many row groups are kept.

    Raises:
      DatasetError: a file is damaged, or no Parquet; or lacks one of `columns`.
      FileNotFoundError: it is not there.
      MissingDependencyError: pyarrow is not installed.
    """

    is_thread_safe = True

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        columns: Sequence[str] | None = None,
        fill: Mapping[str, Any] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        cached_groups: int = 4,
    ) -> None:
        self._paths = [os.fspath(path)] if isinstance(path, str | os.PathLike) else [os.fspath(one) for one in path]
        if not self._paths:
            raise ValueError("ParquetDataset needs at least one file, got an empty list")
        self._files = [read_footer(file, DatasetError, wanted_by="ParquetDataset") for file in self._paths]
        for file, metadata in zip(self._paths, self._files, strict=True):
            check_footer(metadata, file, os.path.getsize(file), DatasetError)
        self._groups = [
            (file, group) for file, metadata in enumerate(self._files) for group in range(metadata.num_row_groups)
        ]
        as_lists = dict.fromkeys(
            name
            for path, metadata in zip(self._paths, self._files, strict=True)
            for name in _with_nulls(metadata, path)
            if name not in (fill or {})
        )
        wanted = None if columns is None else set(columns)
        kept_lists = {name: object for name in as_lists if wanted is None or name in wanted}
        self._reader = ParquetReader(columns=columns, fill=fill, dtypes={**kept_lists, **(dtypes or {})})
        self._check_columns(columns)
        counts = [self._files[file].row_group(group).num_rows for file, group in self._groups]
        super().__init__(counts, num_kept=checked_integer("cached_groups", cached_groups, at_least=1))

    @property
    def origin(self) -> str:
        """The first file."""
        return self._paths[0]

    def read_block(self, block: int) -> Columns:
        """Return the columns of a row group.

        Raises:
          ChunkReadError: a value that its dtype cannot hold.
          DatasetError: it is damaged.
        """
        parquet = import_optional("pyarrow.parquet", wanted_by="ParquetDataset")
        import pyarrow

        file, group = self._groups[block]
        path, names = self._paths[file], self._reader.columns
        try:
            # Opened for each: threads must not share one, and what costs, the footer, is known.
            with parquet.ParquetFile(path, metadata=self._files[file]) as opened:
                table = read_row_groups(opened, path, columns=names, groups=[group])
        except (pyarrow.ArrowException, OSError) as exc:
            raise damaged(path, exc, DatasetError) from exc
        return self._reader.columns_of(path, table)

    def _check_columns(self, columns: Sequence[str] | None) -> None:
        for path, metadata in zip(self._paths, self._files, strict=True):
            there = metadata.schema.to_arrow_schema().names
            if missing := [name for name in columns or () if name not in there]:
                raise DatasetError(
                    path, f"has no column {missing[0]!r}; it has {', '.join(there)}.", "Name one of them"
                )


def _with_nulls(metadata: Any, path: str) -> list[str]:
    """Return the columns that have a null in some row group, or may have one, since the file does not count them.

    Raises:
      DatasetError: a row group has a column of another type than the file says: pyarrow would end the process.
    """
    found = []
    for leaf in range(metadata.num_columns):
        described = metadata.schema.column(leaf)
        if described.max_definition_level == 0:
            continue  # it cannot be null
        parts = [metadata.row_group(group).column(leaf) for group in range(metadata.num_row_groups)]
        if other := {part.physical_type for part in parts} - {described.physical_type}:
            what = f"is damaged: {described.path!r} is {described.physical_type}, and {min(other)} in a row group."
            raise DatasetError(path, what, "Fetch it again, or make it again")
        if any(part.statistics is None or part.statistics.null_count != 0 for part in parts):
            found.append(described.path.partition(".")[0])
    return found
