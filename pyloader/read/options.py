"""Options that several readers have: which columns, and of which dtypes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pyloader.datareader import DataReader
from pyloader.errors import ChunkReadError
from pyloader.machine.memory import RecycledMemory
from pyloader.read.ragged import ragged_names

__all__ = ["ColumnReader", "NamedColumnsReader", "check_no_name_twice", "column_names", "number_dtypes"]


class NamedColumnsReader(DataReader):
    """A reader of files whose columns have names: all of them, or some.

    Args:
      columns: The columns to read; None for all.
    """

    returns_new_arrays = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        columns: Sequence[str] | None = None,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **old_names)
        self.columns = column_names(columns)

    @cached_property
    def _memory(self) -> RecycledMemory:
        return RecycledMemory()


class ColumnReader(NamedColumnsReader):
    """A reader of files whose columns have names and kinds: some of them, in the dtypes that are asked for.

    Args:
      columns: The columns to read; None for all.
      fill: What stands for null, by column.
      dtypes: The dtypes of number columns; object for a column that stays a list.
      ragged: The columns of lists of numbers, or of bytes, that become `Ragged`; True for all that can.
    """

    gaps_make_lists = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        columns: Sequence[str] | None = None,
        fill: Mapping[str, Any] | None = None,
        dtypes: Mapping[str, npt.DTypeLike] | None = None,
        ragged: Sequence[str] | bool = False,
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, columns=columns, **old_names)
        self.fill = dict(fill or {})
        self.dtypes, self.list_columns = number_dtypes(dtypes, stays_list=object)
        self.ragged = ragged_names(ragged)
        self._all_known = columns is not None and dtypes is not None

    def is_named_ragged(self, name: str) -> bool:
        """Tell whether a column is named as one that is to be ragged."""
        return not isinstance(self.ragged, bool) and name in self.ragged

    def unknown_name(self, names: Collection[str]) -> str:
        """Return which option names a column that is not among `names`, in words; "" when none does."""
        ragged = () if isinstance(self.ragged, bool) else self.ragged
        for option, named in (("dtypes", {*self.dtypes, *self.list_columns}), ("ragged", {*ragged})):
            if unknown := sorted(named - set(names)):
                return f"{option} names {unknown}"
        return ""


def column_names(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of the columns to read; None for all of them.

    Raises:
      TypeError: they are one str, whose letters would be taken for names, or one of them is no str.
    """
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names: columns=[{columns!r}]")
    if wrong := [name for name in columns or () if not isinstance(name, str)]:
        raise TypeError(f"columns must be a list of names, got {wrong[0]!r} in it")
    return None if columns is None else tuple(columns)


def number_dtypes(
    dtypes: Mapping[str, npt.DTypeLike] | None, *, stays_list: type, gaps: type | None = None
) -> tuple[dict[str, np.dtype[Any]], frozenset[str]]:
    """Return the dtypes of the columns that become arrays, and the names of those that stay lists.

    Args:
      dtypes: As the user gave them.  A dtype with a shape, ("f4", (384,)), is that of a row.
      stays_list: What stands for a column that stays a list: object, or str.
      gaps: What stands for numbers with gaps, which is among the dtypes then; None: nothing does.

    Raises:
      ValueError: a dtype is neither of numbers nor `stays_list`.
    """
    given = {name: np.dtype(dtype) for name, dtype in (dtypes or {}).items()}
    lists = frozenset(name for name, dtype in given.items() if dtype.kind == np.dtype(stays_list).kind)
    arrays = {name: dtype for name, dtype in given.items() if name not in lists}
    for name, dtype in arrays.items():
        if dtype.base.kind not in "biuf" and (gaps is None or dtype != np.dtype(gaps)):
            what = f"bool, an integer or a float, or {stays_list.__name__} for a column that stays a list"
            raise ValueError(f"dtypes[{name!r}] must be {what}, got {dtype}")
    return arrays, lists


def check_no_name_twice(path: str, names: Sequence[str]) -> None:
    """Raise where two columns of a file have one name.

    Raises:
      ChunkReadError: it is so.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ChunkReadError(path, f"has two columns called {twice!r}.", "Rename one, or read others: columns=[...]")
