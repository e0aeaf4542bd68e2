"""Windows: pairs of context and target from a series of values in time."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from pyloader.jax.disk_source import DiskSource
from pyloader.options import checked_integer, checked_word

__all__ = [
    "make_sequence_disk_source",
    "prepare_seq_to_seq_windows",
    "prepare_time_series_windows",
    "select_split",
    "sliding_window_many",
]


def select_split(
    array: np.ndarray, split: str, train_fraction: float, context_length: int, val_fraction: float = 0.0
) -> np.ndarray:
    """Return a split of a series, along its axis of time.

    "val" and "test" begin `context_length` values early, so that their first target is the first value after the split
    before.

    Args:
      array: [T] or [T, D], or [B, T, ...]: with three axes or more, the second is time.
      split: "train", "val" or "test".
      train_fraction: Between 0 and 1.
      context_length: At least 0.
      val_fraction: At least 0; with train_fraction below 1.

    Raises:
      ValueError: another split, an empty one, or a number out of these bounds.
    """
    checked_word("split", split, "train", "val", "test")
    if not 0 < train_fraction < 1 or not 0 <= val_fraction < 1 or train_fraction + val_fraction >= 1:
        raise ValueError(
            f"train_fraction={train_fraction} and val_fraction={val_fraction} must leave something of 1 for test"
        )
    if split == "val" and val_fraction == 0:
        raise ValueError('split="val" needs val_fraction of more than 0')
    checked_integer("context_length", context_length, at_least=0)
    axis = _time_axis(array)
    length = array.shape[axis]
    train_end = min(max(int(length * train_fraction), 1), length)
    val_end = max(int(length * (train_fraction + val_fraction)), train_end + 1) if val_fraction else train_end
    bounds = {"train": (0, train_end), "val": (train_end, val_end), "test": (val_end, length)}
    start, end = bounds[split]
    if start >= end:
        raise ValueError(f"a series of {length} values leaves none for split={split!r}")
    if split != "train":
        start = max(start - context_length, 0)
    return array[start:end] if axis == 0 else array[:, start:end]


def sliding_window_many(array: np.ndarray, window_size: int, stride: int = 1, offset: int = 0) -> np.ndarray:
    """Return all windows of a series: views, with the window as the last axis.

    Args:
      array: [T] or [T, D], or [B, T, ...].
      window_size: Values in a window.
      stride: From one window's start to the next's.
      offset: Where the first starts.

    Returns:
      [N, window], [N, D, window], or [B, N, ..., window].

    Raises:
      ValueError: a number out of bounds, or a series shorter than a window.
    """
    checked_integer("window_size", window_size, at_least=1)
    checked_integer("stride", stride, at_least=1)
    checked_integer("offset", offset, at_least=0)
    axis = _time_axis(array)
    if array.shape[axis] < offset + window_size:
        raise ValueError(
            f"a series of {array.shape[axis]} values has no window of {window_size} from place {offset} on"
        )
    windows = np.lib.stride_tricks.sliding_window_view(array, window_size, axis=axis)
    return windows[offset::stride] if axis == 0 else windows[:, offset::stride]


def prepare_time_series_windows(
    series: np.ndarray,
    split: str,
    context_length: int,
    prediction_length: int,
    train_fraction: float,
    val_fraction: float = 0.0,
    *,
    stride: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return contexts, and the targets that follow each.

        series   0 1 2 3 4 5 6 ...     context_length=4, prediction_length=2
        pair 0   [0 1 2 3] [4 5]
        pair 1     [1 2 3 4] [5 6]

    Args:
      series: [T].
      split, train_fraction, val_fraction: As for select_split.
      context_length, prediction_length: Values in a context, and in a target.
      stride: From one pair to the next.

    Returns:
      ([N, context_length], [N, prediction_length])
    """
    values = select_split(series, split, train_fraction, context_length, val_fraction)
    targets = sliding_window_many(values, prediction_length, stride, context_length)
    contexts = sliding_window_many(values, context_length, stride)
    axis = _time_axis(values)
    num_pairs = targets.shape[axis]
    return contexts[:num_pairs] if axis == 0 else contexts[:, :num_pairs], targets


def prepare_seq_to_seq_windows(
    input_sequence: np.ndarray,
    target_sequence: np.ndarray,
    split: str,
    input_window_len: int,
    target_window_len: int,
    train_fraction: float = 0.8,
    val_fraction: float = 0.0,
    sliding_window_stride: int = 1,
    target_offset: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of two series that run side by side; window n of both starts at the same time.

    Args:
      input_sequence: [T], [T, D] or [B, T, D].
      target_sequence: As many series and times; features of its own.
      split, train_fraction, val_fraction: As for select_split.
      input_window_len, target_window_len: Values in a window.
      sliding_window_stride: From one pair to the next.
      target_offset: How much later a target starts than its input: input_window_len for the values that follow.

    Returns:
      (inputs, targets): [N, window] of series [T], [N, window, D] of [T, D], [B * N, window, D] of [B, T, D].

    Raises:
      ValueError: series of different lengths, or too short for a window.
    """
    axis = _time_axis(input_sequence)
    if (
        target_sequence.ndim != input_sequence.ndim
        or target_sequence.shape[: axis + 1] != input_sequence.shape[: axis + 1]
    ):
        raise ValueError(
            "both series need the same times, got the shapes "
            f"{list(input_sequence.shape)} and {list(target_sequence.shape)}"
        )
    both = (input_sequence, target_sequence)
    inputs, targets = (select_split(each, split, train_fraction, input_window_len, val_fraction) for each in both)
    found = (
        sliding_window_many(inputs, input_window_len, sliding_window_stride),
        sliding_window_many(targets, target_window_len, sliding_window_stride, target_offset),
    )
    num_pairs = min(windows.shape[axis] for windows in found)
    inputs, targets = (_with_time_before_features(windows, axis, num_pairs) for windows in found)
    return inputs, targets


def make_sequence_disk_source(
    *, contexts: np.ndarray, targets: np.ndarray, ordering: str = "shuffle", prefetch_size: int = 64
) -> DiskSource:
    """Return a source of {"context", "target"} pairs, float32, that copies windows only when they are used.

    Args:
      contexts, targets: [N, ...], views or memory maps.
      ordering, prefetch_size: As for DiskSource.
    """
    if len(contexts) != len(targets):
        raise ValueError(f"there are {len(contexts):,} contexts and {len(targets):,} targets")

    def read(indices: np.ndarray) -> dict[str, np.ndarray]:
        pairs = {"context": contexts[indices], "target": targets[indices]}
        return {name: values.astype(np.float32) for name, values in pairs.items()}

    spec: dict[str, Any] = {
        name: jax.ShapeDtypeStruct(values.shape[1:], np.float32)
        for name, values in (("context", contexts), ("target", targets))
    }
    return DiskSource(len(targets), None, spec, ordering, prefetch_size, rows_fn=read)


def _time_axis(array: np.ndarray) -> int:
    if array.ndim == 0 or 0 in array.shape:
        raise ValueError(f"a series needs values along its axis of time, got the shape {list(array.shape)}")
    return 1 if array.ndim >= 3 else 0


def _with_time_before_features(windows: np.ndarray, axis: int, num_pairs: int) -> np.ndarray:
    windows = windows[:num_pairs] if axis == 0 else windows[:, :num_pairs]
    windows = np.moveaxis(windows, -1, axis + 1)
    return windows if axis == 0 else windows.reshape(-1, *windows.shape[2:])
