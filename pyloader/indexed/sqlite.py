"""SQLite: the rows of a table, or of a query."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from pyloader.deliver import PerThread
from pyloader.errors import DatasetError
from pyloader.indexed.dataset import FileDataset
from pyloader.indexed.rows import Rows

__all__ = ["SQLiteDataset"]

_OPERATIONS_BETWEEN_SIGNALS = 100_000  # of SQLite's machine: about a millisecond


class SQLiteDataset(FileDataset[dict[str, Any]]):
    """The rows of a table or query of an SQLite file, each a dict; columns come as lists.

    Row i is the one with the i-th smallest key, whenever it is read.  The keys are kept in memory, 8 bytes each where
    they are integers.  The file is opened for reading only, by each thread for itself.

    Args:
      path: The file.
      source: The name of a table or view; or a query, beginning with SELECT or WITH.
      key: The column to order by and to find rows by, of integers or text, each value once.  None for a table's rowid.
        A query needs one, and should have an index on it: without, each `take` goes through all rows.
      parameters: The values for the query's question marks.

    Raises:
      DatasetError: the file is no database, there is no such table or key, or a key comes twice or is NULL.
      FileNotFoundError: there is no such file.
      ValueError: a query comes without a key.
    """

    is_thread_safe = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: str,
        *,
        key: str | None = None,
        parameters: Sequence[Any] = (),
    ) -> None:
        self.path, self._source = os.fspath(path), source
        with open(self.path, "rb"):
            pass  # so that a file that is missing or forbidden is an OSError, as everywhere
        self._connection = PerThread(self._connect, close=sqlite3.Connection.close)
        is_query = source.lstrip().lower().startswith(("select ", "with ", "select\n", "with\n"))
        if is_query and key is None:
            raise ValueError("a query needs key=, a column of its result that has each value once: key='id'")
        self._parameters = tuple(parameters)
        try:
            self._from = f"({source.rstrip().rstrip(';')})" if is_query else _quoted(self._table(source))
            self._key = "rowid" if key is None else _quoted(key)
            self._keys = self._read_keys(key)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, indices: np.ndarray) -> Rows:
        """Return the rows at `indices`, as columns: dict, name -> list.

        Raises:
          DatasetError: the file cannot be read, or a row is gone.
        """
        wanted = self._keys.take(indices).tolist()
        # One query for all: the list of keys goes in as one value, and each is looked up in its turn.
        query = (
            f"SELECT source.* FROM json_each(?) AS wanted CROSS JOIN {self._from} AS source "
            f"ON source.{self._key} = wanted.value ORDER BY wanted.key"
        )
        names, rows = self._rows(query, (json.dumps(wanted), *self._parameters))
        if len(rows) != len(wanted):
            raise DatasetError(
                self.path, f"has {len(rows):,} of {len(wanted):,} rows: it has changed.", "Open it again"
            )
        columns = zip(*rows, strict=True) if rows else ((),) * len(names)
        return {name: list(values) for name, values in zip(names, columns, strict=True)}

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {self._source!r}, {len(self):,} rows)"

    def _connect(self) -> sqlite3.Connection:
        # Used by one thread, and closed by whichever closes the dataset.
        place = f"file:{quote(os.path.abspath(self.path))}?mode=ro"
        connection = sqlite3.connect(place, uri=True, check_same_thread=False)
        # A view may never end: each call of Python lets Ctrl-C through, which SQLite tells as "interrupted".
        connection.set_progress_handler(lambda: 0, _OPERATIONS_BETWEEN_SIGNALS)
        return connection

    def _table(self, name: str) -> str:
        _, rows = self._rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        names = [row[0] for row in rows]
        if name not in names:
            raise DatasetError(
                self.path, f"has no table {name!r}; it has {', '.join(names) or 'none'}.", "Name one of them"
            )
        return name

    def _read_keys(self, key: str | None) -> np.ndarray:
        query = f"SELECT source.{self._key} FROM {self._from} AS source ORDER BY 1"
        keys = [row[0] for row in self._rows(query, self._parameters)[1]]
        shown = key or "rowid"
        kinds = set(map(type, keys))
        if len(kinds) > 1 or not kinds <= {int, str}:
            found = ", ".join(sorted(kind.__name__.replace("NoneType", "NULL") for kind in kinds))
            raise DatasetError(self.path, f"has {found} as keys in {shown!r}.", "Choose a key of integers, or of text")
        if len(set(keys)) != len(keys):
            twice = next(one for one, other in itertools.pairwise(keys) if one == other)
            raise DatasetError(
                self.path, f"has the key {shown}={twice!r} twice.", "Choose one that each row has its own of"
            )
        return np.array(keys, np.int64 if kinds == {int} else object)

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of a query's columns, and its rows."""
        try:
            cursor = self._connection().execute(query, parameters)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.Error as exc:
            if str(exc) == "interrupted":
                raise KeyboardInterrupt from exc
            hint = "See that it is a database, and name what is in it"
            raise DatasetError(self.path, f"cannot be read: {exc}.", hint) from exc


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
