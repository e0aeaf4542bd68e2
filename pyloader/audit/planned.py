"""Planned: the digests that an epoch must have, of the whole and of each step, by arithmetic."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import numpy as np

from pyloader.audit.digests import WIDTH, digest_groups
from pyloader.audit.units import Units
from pyloader.errors import DataDirError
from pyloader.files import ChunkList
from pyloader.plan import Order, Streams, rows_between, rows_of_steps, sample_numbers

__all__ = ["check_batch", "epoch_digest", "step_digests", "streams_of_order"]

_LARGE_BATCH = 2**20


def streams_of_order(order: Order, chunks: ChunkList) -> Streams:
    """Return the plan that an order has for these chunks, over all ranks.

    Raises:
      DataDirError: the chunks' counts are unknown, or others than those that the order was made for.
    """
    if chunks.counts is None:
        what = "has no manifest that says how many samples each chunk holds, and their places depend on it."
        raise DataDirError(chunks.place, what, f"Count them once: pyloader index {shlex.quote(chunks.place)}")
    streams = Streams.of(order, chunks.counts, len(chunks), range(order.num_streams))
    num_samples = int(chunks.counts.sum())
    check_batch(order, num_samples, chunks, is_one=num_samples >= order.num_streams and streams.steps_per_epoch > 0)
    return streams


def check_batch(order: Order, num_samples: int, chunks: ChunkList, *, is_one: bool) -> None:
    """Raise unless so many samples make a batch, which is not nearly all filling, and takes memory as such.

    Raises:
      DataDirError: they make none, or `is_one` says so.
    """
    if not is_one or order.batch_size > _LARGE_BATCH + 64 * num_samples:
        what = f"holds {num_samples:,} samples by its manifest, which make no batch of {order.batch_size:,}."
        raise DataDirError(chunks.place, what, f"See what is wrong: pyloader verify {shlex.quote(chunks.place)}")


def epoch_digest(streams: Streams, epoch: int, dataset: np.ndarray, units: Units) -> np.ndarray:
    """Return the digest of an epoch over all ranks, uint64 of shape [4].

    Every sample once, less those that last_batch="drop" leaves out, which the order says.

    Args:
      streams: The plan.
      epoch: Which epoch.
      dataset: The digest of all samples.
      units: What is counted.
    """
    digest = dataset.copy()
    whole = streams.steps_per_epoch * streams.num_streams * streams.share
    if streams.last_batch == "drop":
        for stream in range(streams.num_streams):
            part = streams.stream_part(stream, epoch)
            for rows in rows_between(streams, part, streams.steps_per_epoch * streams.share, part.num_rows):
                digest -= digest_groups(sample_numbers(*units.of_rows(epoch, rows)[0].T), np.zeros(1, np.int64))[0]
    elif streams.last_batch != "keep":
        digest[1] = whole - streams.num_rows
    return digest


def step_digests(
    streams: Streams, epoch: int, served: Iterable[int], first: int, stop: int, units: Units
) -> np.ndarray:
    """Return the digests of some streams' shares of an epoch's steps [first, stop), uint64 of shape [steps, 4]."""
    share = streams.share
    digests = np.zeros((stop - first, WIDTH), np.uint64)
    for stream in served:
        part = streams.stream_part(stream, epoch)
        at = first * share
        for rows in rows_of_steps(streams, part, first, stop, units.lengths_of):
            steps = np.arange(at // share, (at + len(rows) - 1) // share + 1)
            counted, begins = units.of_rows(epoch, rows)
            groups = digest_groups(sample_numbers(*counted.T), begins[np.maximum(steps * share - at, 0)])
            digests[steps[0] - first : steps[-1] + 1 - first] += groups
            at += len(rows)
        if streams.last_batch in ("pad", "wrap"):
            behind = (np.arange(first, stop) + 1) * share - part.num_rows
            digests[:, 1] += np.clip(behind, 0, share).astype(np.uint64)
    return digests
