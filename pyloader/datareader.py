"""DataReader: one chunk file -> columns.  The first of the three methods that users override."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyloader.columns import Columns, problem_with_columns, row_count
from pyloader.errors import ReadFileError
from pyloader.options import with_new_names

__all__ = ["DataReader", "read_chunk"]


class DataReader:
    """Reads one chunk file.  Subclass it and write `read_file`.

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

    def __init__(self, batch_size: int = 16, shuffle: bool = False, seed: int = 42, **old_names: Any) -> None:
        given: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
        given = with_new_names(type(self).__name__, given, old_names)
        self.batch_size, self.shuffle, self.seed = given["batch_size"], given["shuffle"], given["seed"]

    def read_file(self, path: str) -> tuple[Columns, int] | Columns:
        """Read the chunk file at `path`.

        The answer must depend on `path` alone: the same file gives the same rows in the same order, whenever and in
        whichever thread it is read.

        Returns:
          The columns (a dict, name -> list, tuple or NumPy array, all of the same length) and the number of samples.
          The columns alone will do.
        """
        raise NotImplementedError(f"{type(self).__name__} has no read_file(path): write one")


def read_chunk(reader: DataReader, path: str) -> Columns:
    """Return what `reader` reads at `path`, checked.

    Raises:
      ReadFileError: the answer is no set of columns, or another number of rows than it says.
    """
    answer: Any = reader.read_file(os.fspath(path))
    columns, said = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
    where = f"{type(reader).__name__}.read_file"
    if isinstance(columns, Mapping):
        columns = {name: list(values) if isinstance(values, tuple) else values for name, values in columns.items()}
    if problem := problem_with_columns(columns):
        hint = "" if isinstance(columns, dict) else "Return columns, or (columns, num_samples)"
        raise ReadFileError(path, f"the answer of {where} {problem}.", hint)
    if said is not None and said != row_count(columns):
        found = f"{row_count(columns):,} rows in {next(iter(columns))!r}"
        raise ReadFileError(path, f"{where} returned {found} and num_samples={said!r}.", "Make them agree")
    checked: Columns = columns
    return checked
