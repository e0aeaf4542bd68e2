"""DataReader: one chunk file -> columns.  The first of the three methods that users override."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np

from pyloader.columns import Columns, problem_with_columns, row_count, with_tuples_as_lists
from pyloader.errors import ChunkReadError, ReadFileError
from pyloader.options import names_of, with_new_names
from pyloader.part import InOrder, Part

__all__ = [
    "DataReader",
    "can_find_by_ranges",
    "can_find_side_by_side",
    "can_read_parts",
    "parts_of_file",
    "read_chunk",
    "read_damaged_chunk",
]

__getattr__ = names_of("pyloader.read", "JsonLineDataReader", of=__name__)

_HINT = "Return (columns, num_samples), or columns alone, a dict of lists and arrays"


class DataReader:
    """Reads one chunk file.  Subclass it and write `read_file`.

    >>> class Lines(DataReader):
    ...     def read_file(self, path):
    ...         with open(path) as file:
    ...             return {"text": file.read().splitlines()}

    Args:
      batch_size: How many samples a batch has, unless the DataLoader is given another number.
      shuffle: Whether the rows inside each chunk change places.  The DataLoader's `shuffle` mixes the chunks as well.
      seed: The seed of the order, an integer >= 0, unless the DataLoader is given another.  `random_seed` is the same.

    A subclass that forgets `super().__init__()` has the defaults.
    """

    batch_size: int = 16
    shuffle: bool = False
    seed: int = 42

    # Whether the arrays that read_file returns are made anew for each call and kept by nobody else: then the loader may
    # hand out parts of them without copying.
    returns_new_arrays: bool = False

    # Whether a column of numbers is a list in a chunk that lacks a value of it, and an array in one that has them all:
    # what DataLoader(nulls="nan") then makes of the arrays.
    gaps_make_lists: bool = False

    # Whether find_parts looks at a file through `pyloader.files.open_bytes` alone: then it finds the parts of an object
    # in a store by ranges.  Else the object is fetched whole for that.
    finds_by_ranges: bool = False

    # Whether read_file needs another file beside the chunk, which read_part does not: what that says is in the parts.
    # Then each chunk in a store is parts, if only one.
    needs_beside: bool = False

    # Whether find_parts takes `in_order`, which is as `map` and may make several calls at the same time: then places of
    # one file are looked at side by side.
    finds_side_by_side: bool = False

    # Whether several threads may call its methods at once, so that num_readers="auto" may start more than one.  Of a
    # subclass that writes methods anew it must be said anew.
    is_thread_safe: bool = False

    def __init__(self, batch_size: int = 16, shuffle: bool = False, seed: int = 42, **old_names: Any) -> None:
        given: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
        own = inspect.signature(type(self)).parameters.values() if old_names else ()
        own_names = [option.name for option in own if option.kind not in (option.VAR_POSITIONAL, option.VAR_KEYWORD)]
        given = with_new_names(type(self).__name__, given, old_names, others=own_names)
        self.batch_size, self.shuffle, self.seed = given["batch_size"], given["shuffle"], given["seed"]

    def read_file(self, path: str) -> tuple[Columns, int] | Columns:
        """Read the chunk file at `path`.

        The answer must depend on `path` alone: the same file gives the same rows in the same order, whenever and in
        whichever thread it is read.

        Returns:
          The columns (a dict, name -> list, tuple, NumPy array or `Ragged`, all of the same length) and the number of
          samples.  The columns alone will do.
        """
        raise NotImplementedError(f"{type(self).__name__} has no read_file(path): write one")

    def read_damaged_file(self, path: str) -> tuple[Columns, int, dict[int, str]]:
        """Read what can be read of a chunk file that `read_file` failed on; asked for under `max_skipped` alone.

        Write it where a file may have some bad rows among many good ones.  Without it the whole chunk is left out.

        Returns:
          The columns and the number of samples, those that cannot be read among them, with anything in their places;
          and for each of these its row and the reason.
        """
        raise NotImplementedError

    def find_parts(self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None) -> list[Part] | None:
        """Find parts of the file at `path` that can be read one by one; asked by `pyloader index`.

        Write it, and `read_part`, where a file may be too large to be one chunk.  The parts must be a function of the
        file's bytes and the two sizes alone.  Joined, in their order, they are the rows that `read_file` gives: the
        first begins with row 0, each next one where the one before ends, and each has at least one row.  A part never
        splits what must be unpacked together (a row group, a frame): such a thing is a part, however large.

        The file may be larger than the memory.  Read a header or a footer where that tells, and else go through it once
        with no more than some megabytes of it in memory.

        Args:
          path: The file.
          chunk_bytes: About how many bytes a part has, unpacked where the file says how many these are.
          chunk_samples: How many rows a part has; then `chunk_bytes` does not matter.  None (the default): it does.

        Returns:
          The parts; one where the file is no larger than that, and none where it has no rows.  None where this reader
          cannot cut this file: then it is one chunk.

        Raises:
          ChunkReadError: the file is damaged, as far as it was looked at.
        """
        return None

    def read_part(self, path: str, part: Part) -> tuple[Columns, int] | Columns:
        """Read a part of the file at `path` that `find_parts` has found, perhaps long ago and on another machine.

        The answer must depend on the two alone.  Only the bytes in `part.ranges` may be read: in a copy of the file the
        others can be zeros.

        Returns:
          As `read_file`, of the part's rows.

        Raises:
          ChunkReadError: the part cannot be read, or `part.detail` is not what `find_parts` gives.
        """
        raise NotImplementedError(f"{type(self).__name__} has no read_part(path, part): write one")

    def read_damaged_part(self, path: str, part: Part) -> tuple[Columns, int, dict[int, str]]:
        """Read what can be read of a part that `read_part` failed on; asked for under `max_skipped` alone.

        Returns:
          As `read_damaged_file`; rows count from the part's first.
        """
        raise NotImplementedError


def read_chunk(reader: DataReader, path: str | os.PathLike[str], part: Part | None = None) -> Columns:
    """Return what `reader` reads at `path`, checked; {} for the answer ({}, 0) of a file without samples.

    Args:
      reader: The reader.
      path: The file.
      part: The part of it to read; None (the default) is the whole file.

    Raises:
      ReadFileError: the answer is no set of columns, or has another number of rows than it or the part says.
      ChunkReadError: there is a directory, and the reader reads files.
    """
    path = os.fspath(path)
    where = f"{type(reader).__name__}.{'read_file' if part is None else 'read_part'}"
    try:
        answer: Any = reader.read_file(path) if part is None else reader.read_part(path, part)
    except StopIteration as exc:  # on its way up it would end the training loop, as if everything had been read
        raise RuntimeError(f"{where} raised StopIteration at {path}") from exc
    except IsADirectoryError as exc:  # a manifest may name any reader for any chunk
        what = f"is a directory, and {type(reader).__name__} reads files."
        raise ChunkReadError(path, what, "Directories of columns are read by NumpyReader") from exc
    return _of_part(_checked(answer, path, where), path, part, where)


def read_damaged_chunk(
    reader: DataReader, path: str, part: Part | None = None
) -> tuple[Columns, dict[int, str]] | None:
    """Return what can be read of a chunk that `read_chunk` failed on, and the rows that cannot be, with reasons.

    Returns:
      None where the reader has no `read_damaged_file`, or for a part no `read_damaged_part`.
    """
    name = "read_damaged_file" if part is None else "read_damaged_part"
    if getattr(type(reader), name) is getattr(DataReader, name):
        return None
    *answer, bad_rows = reader.read_damaged_file(path) if part is None else reader.read_damaged_part(path, part)
    where = f"{type(reader).__name__}.{name}"
    return _of_part(_checked(tuple(answer), path, where), path, part, where), bad_rows


def can_read_parts(reader: DataReader) -> bool:
    """Tell whether a reader reads parts, and reads in them what its `read_file` reads.

    A subclass that writes `read_file` anew, and takes `read_part` as its parent has it, reads something else there.
    """
    homes = type(reader).__mro__
    whole, part = (
        next(at for at, home in enumerate(homes) if name in vars(home)) for name in ("read_file", "read_part")
    )
    return part <= whole and homes[part] is not DataReader


def can_find_by_ranges(reader: DataReader) -> bool:
    """Tell whether a reader finds parts by ranges."""
    return _says_of_finding(reader, "finds_by_ranges")


def can_find_side_by_side(reader: DataReader) -> bool:
    """Tell whether a reader looks at places of a file side by side."""
    return _says_of_finding(reader, "finds_side_by_side")


def _says_of_finding(reader: DataReader, name: str) -> bool:
    """Return what a reader says of its `find_parts`; one that writes that anew must say so anew."""
    homes = type(reader).__mro__
    says, finds = (next(at for at, home in enumerate(homes) if each in vars(home)) for each in (name, "find_parts"))
    return bool(getattr(reader, name)) and says <= finds


def parts_of_file(
    reader: DataReader, path: str, *, chunk_bytes: int, chunk_samples: int | None = None, in_order: InOrder = map
) -> list[Part] | None:
    """Return the parts that `reader` finds in a file, checked; None where it cannot cut the file, or reads no parts.

    They are the same whatever `in_order` is, which looks at places of the file where the reader leaves that to it.

    Raises:
      ReadFileError: they are no parts, or do not follow on one another.
    """
    if not can_read_parts(reader):
        return None
    more = {"in_order": in_order} if can_find_side_by_side(reader) else {}
    found: Any = reader.find_parts(path, chunk_bytes=chunk_bytes, chunk_samples=chunk_samples, **more)
    if found is None:
        return None
    where, next_row = f"{type(reader).__name__}.find_parts", 0
    for part in found:
        if not isinstance(part, Part):
            raise ReadFileError(path, f"{where} returned a {type(part).__name__}.", "Return a list of Part, or None")
        if part.first != next_row or part.num_samples < 1:
            what = f"{where} returned a part of {part.num_samples:,} rows from row {part.first:,} on"
            raise ReadFileError(path, f"{what}, where row {next_row:,} should begin one.", "Let each follow the last")
        next_row = part.stop
    return list(found)


def _of_part(columns: Columns, path: str, part: Part | None, where: str) -> Columns:
    found = row_count(columns)
    if part is not None and found != part.num_samples:
        what = f"{where} returned {found:,} samples of rows {part.first:,} to {part.stop:,}."
        raise ReadFileError(path, what, "Let find_parts and read_part agree, and index it again")
    return columns


def _checked(answer: Any, path: str, where: str) -> Columns:
    columns, said = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    columns = with_tuples_as_lists(columns)
    if said is not None and not isinstance(said, int | np.integer):
        raise ReadFileError(path, f"{where} returned num_samples as a {type(said).__name__}.", _HINT)
    if isinstance(columns, dict) and not columns and said == 0:
        return {}
    if problem := problem_with_columns(columns):
        raise ReadFileError(path, f"{where} returned {problem}.", "" if isinstance(columns, dict) else _HINT)
    checked: Columns = columns
    if said is not None and said != row_count(checked):
        found = f"{row_count(checked):,} rows in {next(iter(checked))!r}"
        raise ReadFileError(path, f"{where} returned {found} and num_samples={said:,}.", "Make them agree")
    return checked
