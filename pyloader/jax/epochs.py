"""Epochs: which places of an epoch a batch takes, and where the next one begins.

An epoch has `length` places.  What happens at its end, when fewer than a batch are left, is `last_batch`:

    pad    the batch is filled with zeros, and its mask says which rows are real
    drop   they are left out
    wrap   the batch is filled with the rows before them, of the same epoch
    span   the batch is filled with the first rows of the next epoch

With pad, each sample comes exactly once an epoch; with span, exactly once in every `length` rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Taking", "num_batches", "take_places"]


@dataclass(frozen=True)
class Taking:
    """The places that a batch takes."""

    epochs: Any  # uint32 array of shape [1], or [count] where they may differ: which epoch
    places: Any  # uint32 array of shape [count], each in [0, length)
    mask: Any  # bool array of shape [count]: which rows are real
    epoch: Any  # in which the next batch begins, uint32 array of shape [1]
    position: Any  # and at which place of it, the same


def num_batches(length: int, count: int, last_batch: str) -> int:
    """Return how many batches of `count` rows an epoch has.

    Raises:
      ValueError: dropping the last rows would leave none.
    """
    if last_batch != "drop":
        return -(-length // count)
    if length < count:
        raise ValueError(
            f'last_batch="drop" leaves no batch: an epoch has {length:,} rows, fewer than batch_size={count:,}'
        )
    return length // count


def take_places(xp: Any, epoch: Any, position: Any, *, count: int, length: int, last_batch: str) -> Taking:
    """Return what the next `count` rows are.

    Args:
      xp: numpy, or jax.numpy.
      epoch, position: uint32 arrays of shape [1], the position in [0, length).
      count: How many rows.
      length: How many places an epoch has, below 2^31 as `count` is, so that sums fit into 32 bits.
      last_batch: One of the rules above.
    """
    one, size, rows = np.uint32(1), np.uint32(length), np.uint32(count)
    if last_batch == "drop":
        short = size - position < rows
        epoch, position = xp.where(short, epoch + one, epoch), xp.where(short, position * np.uint32(0), position)
    steps = xp.arange(count, dtype=np.uint32)
    places = position + steps
    everything = xp.ones(count, dtype=bool)
    if last_batch == "span":
        after = position + rows
        return Taking(epoch + places // size, places % size, everything, epoch + after // size, after % size)
    real = places < size
    if last_batch == "wrap":
        before = xp.where(position >= rows, places - rows, position + steps % (size - position))
        places, mask = xp.where(real, places, before), everything
    else:
        places, mask = xp.minimum(places, size - one), real
    after = position + rows
    ends = after >= size
    if last_batch == "drop":
        ends = size - xp.minimum(after, size) < rows
    return Taking(epoch, places, mask, xp.where(ends, epoch + one, epoch), xp.where(ends, after * np.uint32(0), after))
