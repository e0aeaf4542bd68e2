"""By source: the rows of each source of a mixture are encoded by a dataset of its own, and become one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyloader.columns import Columns, column_specs, concatenate_columns, difference, row_count, slice_columns
from pyloader.dataset import Dataset
from pyloader.encode.checking import encode_batch, taken_by
from pyloader.errors import BadRowsError, BatchEncodeError

__all__ = ["encode_sources"]


def encode_sources(
    datasets: Sequence[Dataset | None],
    parts: Sequence[tuple[int, Columns]],
    rng: np.random.Generator | None,
    keys: np.ndarray | None,
) -> Columns:
    """Return what the datasets make of a batch, in the order of its parts; each source's rows are encoded at once.

    Args:
      datasets: That of each source; None leaves its rows as they are.
      parts: The source and the rows of each part of the batch.
      rng: For those that take it.
      keys: For those that take them, uint64 of shape [rows of all parts].

    Raises:
      BatchEncodeError: the columns of two sources differ afterwards, or an answer is no set of columns.
      BadRowsError: some rows cannot be encoded; they are counted in the batch.
    """
    ends = np.cumsum([row_count(columns) for _, columns in parts])
    places = [np.arange(end - row_count(columns), end) for end, (_, columns) in zip(ends, parts, strict=True)]
    pieces: list[Columns] = [{} for _ in parts]
    first: Columns = {}
    bad_rows, hint = dict[int, str](), ""
    for source in dict.fromkeys(source for source, _ in parts):
        mine = [number for number, (of, _) in enumerate(parts) if of == source]
        columns, dataset = concatenate_columns([parts[number][1] for number in mine]), datasets[source]
        if dataset is not None:
            taken, rows = taken_by(dataset), np.concatenate([places[number] for number in mine])
            own_keys = None if keys is None or "keys" not in taken else keys[rows]
            try:
                columns = encode_batch(dataset, columns, rng if "rng" in taken else None, own_keys)
            except BadRowsError as exc:  # which names rows of this source: those of all sources are told together
                if max(exc.bad_rows) >= len(rows):
                    raise
                bad_rows |= {int(rows[row]): reason for row, reason in exc.bad_rows.items()}
                hint = hint or exc.hint
                continue
        first = first or columns
        if differs := difference(column_specs(columns), column_specs(first)):
            what = f"a batch's rows of source number {source} {differs} as those of another source."
            raise BatchEncodeError(what, "Have dataset={name: ...} give all sources the same columns and dtypes")
        start = 0
        for number in mine:
            stop = start + row_count(parts[number][1])
            pieces[number] = slice_columns(columns, start, stop)
            start = stop
    if bad_rows:
        raise BadRowsError(bad_rows, hint)
    return concatenate_columns(pieces)
