"""Ragged: how fast are rows of unequal length gathered, and a chunk of them made padded batches?

    python benchmarks/ragged.py [--megabytes 64] [--repeat 5] [--without-pyarrow]

Gathering all rows of a column in random order, one thread, beside NumPy's `take` of fixed rows of the mean length, in
turns; batches of 256 rows from four columns, as a loader with `shuffle_window=4` gathers them, beside fixed rows; and
from a chunk, shuffled, to padded batches of 256 rows, beside the same rows as lists of lists.  CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyloader import PaddingDataCollator, Ragged
from pyloader.ragged import gathering

CASES = [(64, "int32"), (800, "uint16"), (800, "int32"), (40_000, "uint8")]


def column_of(mean: int, dtype: str, megabytes: float) -> Ragged:
    """Return a column with rows of half to one and a half of the mean length."""
    rng = np.random.default_rng(0)
    num_rows = max(8, int(megabytes * 10**6 / (mean * np.dtype(dtype).itemsize)))
    lengths = rng.integers(mean // 2, mean + mean // 2, num_rows)
    values = rng.integers(0, 100, int(lengths.sum())).astype(dtype)
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]), is_bytes=False)


def fastest(ways: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Return the least CPU seconds of each, called in turns, the first time for nothing."""
    for work in ways.values():
        work()
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(repeat):
        for name, work in ways.items():
            begun = time.process_time()
            work()
            seconds[name] = min(seconds[name], time.process_time() - begun)
    return seconds


def gather_case(mean: int, dtype: str, megabytes: float, repeat: int) -> None:
    """Print how fast all rows are gathered in random order."""
    column = column_of(mean, dtype, megabytes)
    fixed = column.values[: len(column.values) // mean * mean].reshape(-1, mean)
    out = np.empty_like(fixed)
    rng = np.random.default_rng(1)
    rows, fixed_rows = rng.permutation(len(column)), rng.permutation(len(fixed))
    seconds = fastest(
        {
            "fixed": lambda: np.take(fixed, fixed_rows, axis=0, out=out, mode="clip"),
            "ragged": lambda: column.take(rows),
        },
        repeat,
    )
    fixed_speed, speed = fixed.nbytes / seconds["fixed"] / 1e9, column.values.nbytes / seconds["ragged"] / 1e9
    print(
        f"gather  mean {mean:>6,} {dtype:6}  {speed:5.2f} GB/s of {fixed_speed:5.2f} for fixed rows: "
        f"{speed / fixed_speed:.2f}"
    )


def window_case(mean: int, dtype: str, megabytes: float, repeat: int) -> None:
    """Print how fast batches are gathered from four columns."""
    columns = [column_of(mean, dtype, megabytes / 4) for _ in range(4)]
    each = len(columns[0])
    fixed = [column.values[: len(column.values) // mean * mean].reshape(-1, mean) for column in columns]
    fixed_rows = min(map(len, fixed))
    order = np.random.default_rng(1).permutation(4 * each)
    parts = [order[start : start + 256] for start in range(0, len(order), 256)]
    places = [(part % each, part // each) for part in parts]

    def gather_fixed() -> None:
        for rows, column_of in places:
            out = np.empty((len(rows), mean), dtype)
            for number in range(4):
                mine = np.flatnonzero(column_of == number)
                out[mine] = fixed[number].take(rows[mine] % fixed_rows, axis=0)

    def gather_ragged() -> None:
        for rows, column_of in places:
            Ragged.gather(columns, rows, column_of)

    seconds = fastest({"fixed": gather_fixed, "ragged": gather_ragged}, repeat)
    num_bytes = 4 * columns[0].values.nbytes
    fixed_speed, speed = num_bytes / seconds["fixed"] / 1e9, num_bytes / seconds["ragged"] / 1e9
    print(
        f"window  mean {mean:>6,} {dtype:6}  {speed:5.2f} GB/s of {fixed_speed:5.2f} for fixed rows: "
        f"{speed / fixed_speed:.2f}"
    )


def batch_case(mean: int, dtype: str, megabytes: float, repeat: int) -> None:
    """Print how fast a chunk becomes padded batches."""
    column = column_of(mean, dtype, megabytes)
    lists = column.to_list()
    rows = np.random.default_rng(1).permutation(len(column))
    collator = PaddingDataCollator(dtypes={"tokens": dtype})

    def batches(take: Callable[[np.ndarray], Any]) -> Iterator[Any]:
        for start in range(0, len(rows), 256):
            yield collator.collate_batch({"tokens": take(rows[start : start + 256])})

    seconds = fastest(
        {
            "lists": lambda: list(map(len, batches(lambda some: [lists[row] for row in some.tolist()]))),
            "ragged": lambda: list(map(len, batches(column.take))),
        },
        repeat,
    )
    print(
        f"batches mean {mean:>6,} {dtype:6}  {column.values.nbytes / seconds['ragged'] / 1e9:5.2f} GB/s, "
        f"{seconds['lists'] / seconds['ragged']:,.0f} times lists of lists"
    )


def main() -> None:
    """Measure the cases, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--without-pyarrow", action="store_true", help="as where it is not installed")
    arguments = parser.parse_args()
    if arguments.without_pyarrow:
        gathering._arrow = lambda: None  # type: ignore[assignment]
    for mean, dtype in CASES:
        gather_case(mean, dtype, arguments.megabytes, arguments.repeat)
    for mean, dtype in CASES:
        window_case(mean, dtype, arguments.megabytes, arguments.repeat)
    for mean, dtype in CASES[:3]:
        batch_case(mean, dtype, arguments.megabytes / 4, arguments.repeat)


if __name__ == "__main__":
    main()
