"""ChunkWriter: samples -> chunks, one sample after another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyloader.columns import Columns, columns_bytes, problem_with_columns, row_count, slice_columns
from pyloader.errors import SplitError
from pyloader.files.manifest import MANIFEST_NAME, ChunkEntry, Manifest, write_manifest
from pyloader.options import parse_bytes
from pyloader.write.atomic import remove, sync_directory
from pyloader.write.blocks import BLOCK_BYTES
from pyloader.write.finishing import first_free_index, write_chunk
from pyloader.write.forms import UnfitColumnsError
from pyloader.write.kinds import joined_specs
from pyloader.write.layout import Layout
from pyloader.write.rows import Rows, join_rows
from pyloader.write.sizes import ChunkSizes
from pyloader.write.standing import clear, foreign_manifest, look, refuse_strangers

__all__ = ["ChunkWriter"]

# Samples laid out together: enough to make the work for each small.
_BATCH = 256


class ChunkWriter:
    """Writes samples into the chunks of one directory.

        with ChunkWriter("chunks/train") as writer:
            for text, label in dump:
                writer.write({"text": text, "label": label})

    Each chunk is there whole or not at all, and the manifest comes last.  After an exception in the `with`, what was
    written is removed.

    Args:
      directory: Where the chunks go; made when missing.
      format: One of FORMATS; None is "columns" when the columns are arrays, "parquet" when there are bytes, and
        "jsonl.zst" otherwise.
      chunk_samples: Samples of a chunk; None goes by bytes.
      chunk_bytes: Bytes of a chunk before compression, at most; one larger sample is a chunk of its own.
      overwrite: Whether the chunks that are there are removed first.
      append: Whether to add to them.

    Raises:
      SplitError: the directory holds other chunks, or other files; samples are not alike; the disk is full.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        format: str | None = None,
        chunk_samples: int | None = None,
        chunk_bytes: int | str = "64MiB",
        overwrite: bool = False,
        append: bool = False,
    ) -> None:
        if overwrite and append:
            raise ValueError("overwrite and append were given; one says what happens to the chunks that are there")
        by_bytes = parse_bytes(chunk_bytes) if chunk_samples is None else None
        self._sizes = ChunkSizes(chunk_bytes=by_bytes, chunk_samples=chunk_samples)
        self._layout = Layout(format)
        self._directory = Path(directory)
        self._samples: list[Mapping[str, Any]] = []
        self._rows: list[Rows] = []
        self._num_rows = self._num_bytes = 0
        self._entries: list[ChunkEntry] = []
        self._is_closed = False
        self.num_samples = 0
        self._kept = self._make_room(overwrite=overwrite, append=append)
        self._first = first_free_index(self._kept.chunks if self._kept else ())

    def write(self, sample: Mapping[str, Any]) -> None:
        """Write one sample: name -> number, text, bytes, list, dict or array.  All samples have the same names."""
        self._check_open()
        if not isinstance(sample, Mapping) or not sample:
            raise TypeError(f"a sample is a dict, name -> value, got {sample!r:.60}")
        self._samples.append(dict(sample))
        if len(self._samples) >= _BATCH:
            self._lay_out_samples()

    def write_columns(self, columns: Columns) -> None:
        """Write several samples: name -> list or NumPy array, all of the same length."""
        self._check_open()
        if problem := problem_with_columns(columns):
            raise TypeError(f"write_columns wants name -> list or array, got {problem}")
        self._lay_out_samples()
        total = row_count(columns)
        step = max(1, total * BLOCK_BYTES // max(1, columns_bytes(columns)))
        for start in range(0, total, step):
            self._lay_out(slice_columns(columns, start, min(start + step, total)))

    def close(self) -> None:
        """Write the last chunk and the manifest.  Leaving the `with` does that."""
        if self._is_closed:
            return
        try:
            self._lay_out_samples()
            if self._num_rows:
                self._write_chunk()
            if not self._entries:
                raise SplitError(str(self._directory), "was given no samples.")
            self._write_manifest()
        except BaseException:
            self._undo()
            raise
        self._is_closed = True

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None:
            self.close()
        else:
            self._undo()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the ChunkWriter is closed")

    def _make_room(self, *, overwrite: bool, append: bool) -> Manifest | None:
        standing = look(self._directory)
        if overwrite:
            clear(standing, ("",))
        elif standing.manifests and not (append and standing.manifests.keys() == {""}):
            raise foreign_manifest(standing, "")
        kept = standing.manifests.get("") if append else None
        if kept is None:
            refuse_strangers(self._directory, ("",))
        self._directory.mkdir(parents=True, exist_ok=True)
        return kept

    def _lay_out_samples(self) -> None:
        if self._samples:
            samples, self._samples = self._samples, []
            self._lay_out(self._as_columns(samples))

    def _as_columns(self, samples: list[Mapping[str, Any]]) -> Columns:
        names = list(samples[0])
        for number, sample in enumerate(samples, start=self.num_samples):
            if sample.keys() != set(names):
                what = f"sample {number:,} has {sorted(sample)}, but those before it have {sorted(names)}."
                raise SplitError(str(self._directory), what, "Give every sample the same names")
        columns: Columns = {name: [sample[name] for sample in samples] for name in names}
        if any(isinstance(value, np.ndarray | np.generic) for value in samples[0].values()):
            return {name: _stacked(name, values) for name, values in columns.items()}
        return columns

    def _lay_out(self, columns: Columns) -> None:
        try:
            rows = self._layout.rows([columns])
        except UnfitColumnsError as exc:
            raise SplitError(str(self._directory), f"sample {self.num_samples:,} or one after it {exc}.") from exc
        self.num_samples += len(rows)
        while len(rows):
            fits = self._sizes.rows_that_fit(rows.lengths(), self._num_rows, self._num_bytes)
            if fits:
                part, rows = rows.slice(0, fits), rows.slice(fits, len(rows))
                self._rows.append(part)
                self._num_rows += len(part)
                self._num_bytes += len(part.data)
            if len(rows):
                self._write_chunk()

    def _write_chunk(self) -> None:
        rows, index = join_rows(self._rows), self._first + len(self._entries)
        self._rows, self._num_rows, self._num_bytes = [], 0, 0
        assert self._layout.format is not None
        assert self._layout.form is not None
        chunks, form = self._layout.format, self._layout.form
        self._entries.append(write_chunk(self._directory, index, rows, chunks=chunks, form=form))

    def _write_manifest(self) -> None:
        assert self._layout.format is not None
        assert self._layout.form is not None
        specs, reader = self._layout.written_specs(self._layout.form), self._layout.format.reader
        before = self._kept.chunks if self._kept else ()
        if self._kept is not None:
            try:
                if self._kept.reader != reader:
                    raise ValueError(f"are {reader}, not {self._kept.reader}")
                specs = joined_specs(self._kept.columns, specs)
            except ValueError as exc:
                what = f"cannot be added to: the samples {exc}."
                raise SplitError(str(self._directory), what, "Write them into another directory") from exc
        made_by = {"command": "", "dump": "ChunkWriter"}
        manifest = Manifest(columns=specs, reader=reader, chunks=(*before, *self._entries), made_by=made_by)
        write_manifest(self._directory / MANIFEST_NAME, manifest)
        sync_directory(self._directory)

    def _undo(self) -> None:
        self._is_closed = True
        self._samples, self._rows = [], []
        for entry in self._entries:
            remove(self._directory / entry.file)


def _stacked(name: str, values: Any) -> Any:
    if isinstance(values[0], str | bytes | list | dict) or values[0] is None:
        return values
    try:
        return np.stack([np.asarray(value) for value in values])
    except ValueError as exc:
        raise UnfitColumnsError(f"has arrays of unequal shape in {name!r}") from exc
