"""Encoding: one batch's columns become what the loop receives, here or in another process."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pyloader.columns import Columns
from pyloader.datacollator import DataCollator
from pyloader.dataset import Dataset
from pyloader.encode import encode_batch
from pyloader.errors import CollateError
from pyloader.plan import encode_generator

__all__ = ["encode_and_collate"]


def encode_and_collate(
    dataset: Dataset | None,
    collator: DataCollator,
    seed: int | None,
    stream: int,
    columns: Columns,
    mask: np.ndarray | None,
    keys: np.ndarray | None,
    epoch: int,
    step: int,
) -> tuple[Any, tuple[float, float]]:
    """Return a batch, and how many seconds encoding and collating took.

    It is a function of the batch and its place alone, so that any process gives the same.

    Args:
      dataset: Encodes the batch; None leaves it raw.
      collator: Collates it.
      seed: What `batch_encode`'s `rng` is derived from; None when it takes none.
      stream: The first stream that this rank serves, so that ranks draw other numbers.
      columns: The batch's raw columns.
      mask: Which rows are samples, not padding: bool of shape [num_rows]; None when nothing is padded.
      keys: Those of the rows, uint64 of shape [num_rows]; None when `batch_encode` takes none.
      epoch: The batch's epoch.
      step: Its number in the epoch.
    """
    begun = time.perf_counter()
    if dataset is not None:
        # Made anew for each batch: what one batch draws must not move the next one's numbers.
        rng = None if seed is None else encode_generator(seed=seed, epoch=epoch, step=step, stream=stream)
        columns = encode_batch(dataset, columns, rng, keys)
    encoded = time.perf_counter()
    batch = _collate(collator, columns, mask)
    return batch, (encoded - begun, time.perf_counter() - encoded)


def _collate(collator: DataCollator, columns: Columns, mask: np.ndarray | None) -> Any:
    if mask is None:
        return collator.collate_batch(columns)
    batch = collator.collate_batch({**columns, "mask": mask})
    if not isinstance(batch, dict):
        what = f"{type(collator).__name__}.collate_batch returned a {type(batch).__name__}"
        raise CollateError(f"last_batch='pad' adds 'mask' to each batch, and {what}.", "Return a dict")
    batch.setdefault("mask", mask)
    return batch
