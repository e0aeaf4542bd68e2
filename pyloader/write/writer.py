"""ChunkWriter: samples -> chunks, one sample after another."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import numpy as np

from pyloader.columns import Columns, columns_bytes, problem_with_columns, row_count, slice_columns
from pyloader.errors import OutputDirError, SplitError, WriteError
from pyloader.files import ChunkEntry, DirectoryLock, Manifest
from pyloader.files.no_room import no_room
from pyloader.files.takes import Takes
from pyloader.options import parse_bytes
from pyloader.ragged import Ragged
from pyloader.read.numbers import NumberError, as_column
from pyloader.write.beginning import chunk_sets, make_room
from pyloader.write.blocks import BLOCK_BYTES
from pyloader.write.chunk_files import check_number, chunk_name, new_manifest, write_chunk
from pyloader.write.chunking import ChunkCutter
from pyloader.write.job import Job
from pyloader.write.known_inputs import newest_version
from pyloader.write.layout import Layout
from pyloader.write.output_places import output_at
from pyloader.write.placing import finish_placing, forget_coming, place_all
from pyloader.write.ragged_form import are_uneven
from pyloader.write.refusals import foreign_chunks, other_holdout, stopped_split
from pyloader.write.rows import Rows
from pyloader.write.sizes import ChunkSizes
from pyloader.write.unfit import UnfitColumnsError

__all__ = ["ChunkWriter"]

# Samples laid out together: enough to make the work for each small.
_BATCH = 256


class ChunkWriter:
    """Writes samples into the chunks of one directory.

        with ChunkWriter("chunks/train") as writer:
            for text, label in dump:
                writer.write({"text": text, "label": label})

    Each chunk is there whole or not at all, and all chunks come to their places at the end, with the manifest.  After
    an exception in the `with`, what was written is removed.  Nobody else can write there until it is closed.

    Args:
      directory: Where the chunks go, a directory, made when missing, or an address of a store (s3://bucket/chunks).
      format: One of FORMATS; None is "columns" when the columns are arrays or `Ragged`, "parquet" when there are bytes
        in lists, or arrays of other numbers than int64, float64 and bool beside text, and "jsonl.zst" otherwise.
      chunk_samples: Samples of a chunk; None goes by bytes.
      chunk_bytes: Bytes of a chunk before compression, at most; one larger sample is a chunk of its own.
      overwrite: Whether the chunks that are there are deleted first.
      append: Whether to add to them.  They can be loaded before, meanwhile and afterwards.
      storage_options: Of the store, as DataLoader has them; None is what the environment says.
      scratch_dir: Where a chunk lies before it goes to a store; None is ~/.cache/pyloader/writing.

    Raises:
      SplitError: the directory holds other chunks, other files or a stopped split; somebody else writes there; samples
        are not alike; a value would not come back as it was, which names its column and sample, counted from 0; the
        disk is full.
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
        storage_options: Mapping[str, Any] | None = None,
        scratch_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if overwrite and append:
            raise ValueError("overwrite and append were given; one says what happens to the chunks that are there")
        by_bytes = parse_bytes(chunk_bytes) if chunk_samples is None else None
        self._cutter = ChunkCutter(ChunkSizes(chunk_bytes=by_bytes, chunk_samples=chunk_samples))
        self._layout = Layout(format)
        self._samples: list[Mapping[str, Any]] = []
        self._entries: list[ChunkEntry] = []
        self._is_closed = False
        self._version = 1
        self.num_samples = 0
        self._places = ExitStack()
        # A writer that is dropped instead of closed keeps nobody from the directory.
        weakref.finalize(self, _leave, self._places)
        with self._leaves_on_error():
            self._output = self._places.enter_context(
                output_at(
                    directory, command="", storage_options=storage_options, scratch_dir=scratch_dir,
                    takes=Takes(stopped=overwrite), adds=not overwrite,
                )
            )  # fmt: skip
            self._directory = self._output.root
            self._job = Job(self._directory, self._output)
            if self._directory.is_file():
                raise OutputDirError(str(directory), "is a file, and the chunks need a directory.", "Name another")
            self._places.callback(DirectoryLock(self._directory).release)
            self._kept = self._begin(overwrite=overwrite, append=append)
            self._output.will_write([""])

    def _begin(self, *, overwrite: bool, append: bool) -> tuple[ChunkEntry, ...]:
        """Make the directory ready, and return the chunks that stay."""
        root = self._directory
        finish_placing(root)
        stopped = self._job.load()
        if stopped is not None:
            if self._job.is_worth_keeping and not (overwrite or self._job.has_failed):
                raise stopped_split(root, stopped.command, "")
            self._job.end()
        forget_coming(root, [""])
        found = chunk_sets(root)
        if found and not overwrite:
            if not append:
                raise foreign_chunks(root, found, None)
            if problem := other_holdout(root, found, [""], {}):
                raise problem
        make_room(root, found, [""], overwrite=overwrite)
        if not (append and found):
            return ()
        self._version = newest_version(found) + 1
        return found[""].chunks

    def write(self, sample: Mapping[str, Any]) -> None:
        """Write one sample: name -> number, text, bytes, list, dict or array.  All samples have the same names.

        Arrays of one dimension whose lengths differ become a `Ragged` column.
        """
        self._check_open()
        if not isinstance(sample, Mapping) or not sample:
            raise TypeError(f"a sample is a dict, name -> value, got {sample!r:.60}")
        if not all(isinstance(name, str) for name in sample):
            raise TypeError(f"a sample's names are text, got {[*sample]!r:.60}")
        self._samples.append(dict(sample))
        if len(self._samples) >= _BATCH:
            self._lay_out_samples()

    def write_columns(self, columns: Columns) -> None:
        """Write several samples: name -> list, NumPy array or `Ragged`, all of the same length."""
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
            self._write_chunks(self._cutter.end())
            if not self._entries:
                raise OutputDirError(f"{self._directory}/", "was given no samples.")
            columns, chunks = self._layout.written_specs(self._layout.form), self._layout.format
            made_by = {"command": "", "dump": "ChunkWriter", "num_kept": len(self._kept)}
            check_number(str(self._directory), self._entries, self.num_samples)
            manifest = new_manifest(
                self._directory, self._kept, self._entries,
                columns=columns, chunks=chunks, made_by=made_by, version=self._version,
            )  # fmt: skip
        except BaseException as exc:
            self._undo(exc)
            raise
        self._place(manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None:
            self.close()
        else:
            self._undo(exc)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the ChunkWriter is closed")

    def _lay_out_samples(self) -> None:
        if self._samples:
            samples, self._samples = self._samples, []
            try:
                columns = self._as_columns(samples)
            except UnfitColumnsError as exc:
                raise self._refused(exc) from exc
            self._lay_out(columns)

    def _as_columns(self, samples: list[Mapping[str, Any]]) -> Columns:
        names = list(samples[0])
        for number, sample in enumerate(samples, start=self.num_samples):
            if sample.keys() != set(names):
                what = f"sample {number:,} has {sorted(sample)}, but those before it have {sorted(names)}."
                raise SplitError(self._output.shown, what, "Give every sample the same names")
        columns: Columns = {name: [sample[name] for sample in samples] for name in names}
        if any(isinstance(value, np.ndarray | np.generic) for value in samples[0].values()):
            return {name: _stacked(name, values) for name, values in columns.items()}
        return columns

    def _lay_out(self, columns: Columns) -> None:
        try:
            rows = self._layout.rows([columns])
        except UnfitColumnsError as exc:
            raise self._refused(exc) from exc
        self.num_samples += len(rows)
        self._write_chunks(self._cutter.add(rows))

    def _refused(self, exc: UnfitColumnsError) -> SplitError:
        where = f"sample {self.num_samples + (exc.row or 0):,}" + (" or one after it" if exc.row is None else "")
        hint = 'Write Parquet, which holds it: format="parquet"' if exc.parquet_holds else exc.hint
        return SplitError(self._output.shown, f"{where} {exc}.", hint)

    def _write_chunks(self, cut: Iterable[list[Rows]]) -> None:
        for parts in cut:
            chunks, form = self._layout.format, self._layout.form
            name = chunk_name(len(self._entries), chunks, self._version)
            with self._names_what_is_full():
                path = self._job.staged("") / name
                self._entries.append(write_chunk(path, parts, chunks=chunks, form=form))
                self._output.put_chunks({name: path})

    def _place(self, manifest: Manifest) -> None:
        self._is_closed = True
        with self._leaves_on_error():
            with self._names_what_is_full():
                place_all(self._directory, {"": manifest})
            self._output.publish()
        self._places.close()

    def _undo(self, exc: BaseException) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._samples = []
        try:
            self._job.end()
        finally:
            self._places.__exit__(type(exc), exc, None)

    @contextmanager
    def _leaves_on_error(self) -> Iterator[None]:
        """Let others write after an error."""
        try:
            yield
        except BaseException as exc:
            self._places.__exit__(type(exc), exc, exc.__traceback__)
            raise

    @contextmanager
    def _names_what_is_full(self) -> Iterator[None]:
        try:
            yield
        except (WriteError, OSError) as exc:
            full = exc if isinstance(exc, WriteError) else no_room(self._directory, exc)
            if full is None:
                raise
            remedy = f"{full.hint}, then write all samples again: none of this ChunkWriter's are kept"
            raise SplitError(full.path, full.what, remedy) from exc


def _leave(places: ExitStack) -> None:
    """Let others write; what was begun is given up."""
    places.__exit__(GeneratorExit, GeneratorExit(), None)


def _stacked(name: str, values: Any) -> Any:
    """Return the values of a column as one array, where the first of them is a number or an array."""
    if isinstance(values[0], str | bytes | list | dict) or values[0] is None:
        return values
    if all(type(value) in (bool, int, float) for value in values):
        try:
            return as_column(values)
        except NumberError as exc:
            raise UnfitColumnsError(f"has column {name!r}, which {exc.what.rstrip('.')}", exc.row) from exc
    arrays = [np.asarray(value) for value in values]
    if {array.ndim for array in arrays} == {1} and len({array.dtype for array in arrays}) == 1 and are_uneven(arrays):
        return Ragged.from_rows(arrays)
    for row, array in enumerate(arrays):
        if (array.dtype, array.shape) != (arrays[0].dtype, arrays[0].shape):
            kinds = [f"{other.dtype} of shape {list(other.shape)}" for other in (array, arrays[0])]
            raise UnfitColumnsError(
                f"has arrays of unequal shape or dtype in {name!r}: {kinds[0]} after {kinds[1]}", row
            )
    return np.stack(arrays)
