"""Planned: the digests that an epoch must have, of the whole and of each step, by arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pyloader.audit.digests import WIDTH, dataset_digest, digest_groups
from pyloader.plan import Streams, rows_between, sample_numbers

__all__ = ["epoch_digest", "step_digests"]


def epoch_digest(streams: Streams, epoch: int) -> np.ndarray:
    """Return the digest of an epoch over all ranks, uint64 of shape [4].

    Every sample once, less those that last_batch="drop" leaves out, which the order says.
    """
    digest = dataset_digest(streams.counts)
    num_rows = int(streams.counts.sum())
    whole = streams.steps_per_epoch * streams.num_streams * streams.share
    if streams.last_batch == "drop":
        for stream in range(streams.num_streams):
            stretch = streams.stretch(stream, epoch)
            for rows in rows_between(streams, stretch, streams.steps_per_epoch * streams.share, stretch.num_rows):
                digest -= digest_groups(sample_numbers(*rows.T), np.zeros(1, np.int64))[0]
    elif streams.last_batch != "keep":
        digest[1] = whole - num_rows
    return digest


def step_digests(streams: Streams, epoch: int, served: Iterable[int], first: int, stop: int) -> np.ndarray:
    """Return the digests of some streams' shares of an epoch's steps [first, stop), uint64 of shape [steps, 4]."""
    share = streams.share
    digests = np.zeros((stop - first, WIDTH), np.uint64)
    for stream in served:
        stretch = streams.stretch(stream, epoch)
        at = first * share
        for rows in rows_between(streams, stretch, at, min(stop * share, stretch.num_rows)):
            steps = np.arange(at // share, (at + len(rows) - 1) // share + 1)
            groups = digest_groups(sample_numbers(*rows.T), np.maximum(steps * share - at, 0))
            digests[steps[0] - first : steps[-1] + 1 - first] += groups
            at += len(rows)
        if streams.last_batch in ("pad", "wrap"):
            behind = (np.arange(first, stop) + 1) * share - stretch.num_rows
            digests[:, 1] += np.clip(behind, 0, share).astype(np.uint64)
    return digests
