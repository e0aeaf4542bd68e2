"""Lance datasets -> columns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyloader.columns import Columns
from pyloader.errors import ChunkReadError, PyLoaderError, import_optional
from pyloader.files import Room, file_spans
from pyloader.part import INDEX_AGAIN, Part, joined_ranges, row_spans
from pyloader.read.parquet import counted
from pyloader.read.ragged_tables import RaggedTableReader

__all__ = ["LanceReader"]

_LEAST_ROWS, _MOST_ROWS = 16, 2**13  # unpacked at once
_BATCHES_IN_ROOM = 8
_AHEAD_BYTES = 2**26  # pylance reads ahead up to 2 GB otherwise


class LanceReader(RaggedTableReader):
    """Lance datasets (directories called *.lance), by pylance: the rows of the newest version, in their order.

    Columns come as `ParquetReader` gives them; lists of numbers of unequal length, and bytes, come as Ragged.  A
    dataset whose files lie outside of its directory is an error.  What reads runs in pylance's own threads; it cannot
    be used in a process that was forked afterwards.

    Args:
      columns: The columns to read; others are not touched on disk.  None: all.
      fill: What stands for null, by column.
      dtypes: The dtypes of number columns; object for a column that is to stay a list, whatever it holds.
      ragged: The columns that become `Ragged`, in Arrow's memory; True (the default): all lists of numbers, and bytes.
        A null in them is an error.
    """

    is_thread_safe = True

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read the dataset.

        Returns:
          The columns, and how many rows there are.

        Raises:
          ChunkReadError: a file is missing, cut or damaged; it lacks one of `columns`; its files lie elsewhere.
          MissingDependencyError: pylance is not installed.
        """
        with _reading(path, None) as dataset:
            num_rows = dataset.count_rows()
            return self._rows(dataset, path, 0, num_rows), num_rows

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts of the newest version; no rows are read."""
        with _reading(path, None) as dataset:
            num_rows = dataset.count_rows()
            num_bytes = round(num_rows * _row_bytes(path, dataset))
            cuts = row_spans(num_rows, num_bytes, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples)
            spans = file_spans(path)
            beside = [(start, end) for name, start, end in spans if not name.startswith("data/")]
            held = {name: (start, end) for name, start, end in spans if name.startswith("data/")}
            detail = {"version": dataset.version}
            return [
                Part(
                    first,
                    stop - first,
                    joined_ranges([*beside, *(held[name] for name in _files(dataset, first, stop))]),
                    detail,
                )
                for first, stop in cuts
            ]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the part's rows in the version that was indexed; see `read_file`."""
        version = part.detail.get("version") if isinstance(part.detail, dict) else None
        if type(version) is not int or not 0 < version < 2**63:
            raise ChunkReadError(path, "is indexed as no Lance dataset is.", INDEX_AGAIN)
        with _reading(path, version) as dataset:
            return self._rows(dataset, path, part.first, part.stop), part.num_samples

    def _rows(self, dataset: Any, path: str, first: int, stop: int) -> Columns:
        import pyarrow

        names = dataset.schema.names
        if missing := [name for name in self.columns or () if name not in names]:
            raise ChunkReadError(path, f"has columns {names}, and no {missing[0]!r}.")
        columns = None if self.columns is None else list(self.columns)
        room, batches = Room(path), []
        step = int(room.limit // _BATCHES_IN_ROOM // max(1, _row_bytes(path, dataset)))
        step = min(max(step, _LEAST_ROWS), _MOST_ROWS)
        for fragment, low, high in _rows_within(dataset, first, stop):
            scanner = dataset.scanner(
                fragments=[fragment],
                columns=columns,
                offset=low,
                limit=high - low,
                batch_size=step,
                batch_readahead=1,
                io_buffer_size=_AHEAD_BYTES,
            )
            batches += [counted(batch, room) for batch in scanner.to_batches()]
        schema = dataset.schema if columns is None else pyarrow.schema([dataset.schema.field(name) for name in columns])
        return self.columns_of(path, pyarrow.Table.from_batches(batches, schema))


def _rows_within(dataset: Any, first: int, stop: int) -> Iterator[tuple[Any, int, int]]:
    """Yield (fragment, first row in it, the one after the last) for the fragments that hold these rows."""
    begin = 0
    for fragment in dataset.get_fragments():
        count = fragment.count_rows()
        low, high = max(first, begin) - begin, min(stop, begin + count) - begin
        if low < high:
            yield fragment, low, high
        begin += count


def _files(dataset: Any, first: int, stop: int) -> set[str]:
    """Return the files that hold these rows."""
    return {
        f"data/{file.path}" for fragment, _, _ in _rows_within(dataset, first, stop) for file in fragment.metadata.files
    }


def _row_bytes(path: str, dataset: Any) -> float:
    """Return how many bytes of disk a row takes, on average."""
    sizes, num_rows = 0, 0
    for fragment in dataset.get_fragments():
        num_rows += fragment.physical_rows
        sizes += sum(os.path.getsize(os.path.join(path, "data", file.path)) for file in fragment.metadata.files)
    return sizes / max(1, num_rows)


@contextmanager
def _reading(path: str, version: int | None) -> Iterator[Any]:
    """Open the dataset; what pylance raises for damage becomes the package's error."""
    lance, pyarrow = (import_optional(name, wanted_by="LanceReader") for name in ("lance", "pyarrow"))
    try:
        os.listdir(path)  # which says why it cannot be opened, in Python's words
    except NotADirectoryError as exc:
        what = "is a file, and a Lance dataset is a directory."
        raise ChunkReadError(path, what, "Name that directory, and call it *.lance: data_dir='name.lance'") from exc
    try:
        dataset = lance.dataset(path, version=version)
        _check_place(dataset, path)
        yield dataset
    except PyLoaderError:
        raise
    except BaseException as exc:  # a panic of Rust is no Exception
        is_lances = isinstance(exc, OSError | ValueError | RuntimeError | pyarrow.ArrowException)
        if not is_lances and type(exc).__name__ != "PanicException":
            raise
        is_of_disk = isinstance(exc, OSError) and exc.errno is not None and not isinstance(exc, FileNotFoundError)
        if isinstance(exc, MemoryError) or is_of_disk:
            raise
        said = str(exc).partition("\n")[0].strip().rstrip(".")[:500]
        what = f"is damaged, or no Lance dataset ({said})."
        raise ChunkReadError(path, what, "Fetch it again, or max_skipped=1 to go on without it") from exc


def _check_place(dataset: Any, path: str) -> None:
    """Raise where a file of the dataset lies outside of its directory."""
    bases = dataset.base_paths() if hasattr(dataset, "base_paths") else {}
    metadata = [fragment.metadata for fragment in dataset.get_fragments()]
    files = [(file.base_id, file.path) for each in metadata for file in each.files]
    files += [(each.deletion_file.base_id, "") for each in metadata if each.deletion_file is not None]
    for base, file in files:
        if base is None and os.path.basename(file) == file:
            continue
        where = getattr(bases.get(base), "path", file)
        what = f"takes its rows from elsewhere, {where[:255]!r}, and nothing outside of it is opened."
        raise ChunkReadError(path, what, "Copy it whole: dataset.deep_clone('copy.lance', dataset.version)")
