"""Digests: what a batch had, in four words that do not depend on the order of its rows, and that can be added.

A digest is uint64 [samples, rows that stand in, and two sums over the samples' numbers, each number mixed], all modulo
2**64.  Digests of parts add up to the digest of the whole: those of an epoch's steps and ranks must add up to that of
the dataset.  Two different sets of samples have the same digest by an accident of 2**-128.

The mixing is SplitMix64's: a number's two words are the first two that the generator gives when it is seeded with it
(Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014; the constants are Stafford's
variant 13).  That sums of mixed values tell sets apart is Bellare and Micciancio's AdHash (EUROCRYPT 1997); here
it has to withstand accidents, not forgers.
"""

from __future__ import annotations

import numpy as np

from pyloader.plan import STAND_IN, mix_bits, sample_numbers

__all__ = ["WIDTH", "culprits", "dataset_digest", "digest_batches", "digest_groups", "mixed_numbers"]

WIDTH = 4  # words in a digest
_BLOCK_ROWS = 2**15  # what is mixed at a time stays in the processor's cache

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mixed_numbers(numbers: np.ndarray, word: int) -> np.ndarray:
    """Return word 0 or 1 of SplitMix64 seeded with each number, uint64 of shape [num_rows]."""
    mixed = numbers + np.uint64((word + 1) * int(_GOLDEN_GAMMA) % 2**64)
    mix_bits(mixed)
    return mixed


def digest_groups(numbers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the digest of each group of samples.

    Args:
      numbers: Their numbers, uint64 of shape [num_rows], at least one.
      starts: Where each group begins: increasing, the first 0.

    Returns:
      uint64 array of shape [len(starts), 4].
    """
    digests = np.empty((len(starts), WIDTH), np.uint64)
    stands_in = numbers >= STAND_IN
    digests[:, 1] = np.add.reduceat(stands_in, starts, dtype=np.uint64)
    digests[:, 0] = np.diff(starts, append=len(numbers)).astype(np.uint64) - digests[:, 1]
    for word in (0, 1):
        mixed = mixed_numbers(numbers, word)
        mixed[stands_in] = 0
        digests[:, 2 + word] = np.add.reduceat(mixed, starts)
    return digests


def digest_batches(numbers: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the digest of each batch of so many rows, the last of which may be short: uint64 of shape [batches, 4]."""
    return digest_groups(numbers, np.arange(0, len(numbers), batch_size))


def dataset_digest(counts: np.ndarray) -> np.ndarray:
    """Return the digest of all samples of chunks with so many rows: uint64 of shape [4].

    It takes the same memory however many there are.
    """
    ends = np.cumsum(counts)
    # Row p of all is row p - begin of its chunk, so its number is p + (chunk << 32) - begin.
    bases = (np.arange(len(counts), dtype=np.uint64) << np.uint64(32)) - (ends - counts).astype(np.uint64)
    total = np.zeros(WIDTH, np.uint64)
    for start in range(0, int(counts.sum()), _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, int(ends[-1]))
        chunks = slice(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, stop - 1, "right")) + 1)
        held = np.diff(np.clip(ends[chunks], start, stop), prepend=start)
        numbers = np.arange(start, stop, dtype=np.uint64) + np.repeat(bases[chunks], held)
        total += digest_groups(numbers, np.zeros(1, np.int64))[0]
    return total


def culprits(planned: np.ndarray, others: np.ndarray, excess: np.ndarray) -> tuple[list[int], list[int]] | None:
    """Return which sample is lacking, and which came instead or in addition.

    Args:
      planned: The rows that were planned, int64 of shape [num_rows, 2].
      others: Rows that may have come instead, int64 of shape [num_others, 2].
      excess: The digest found less the digest planned, uint64 of shape [4].

    Returns:
      Indices into `planned` and into `others`, at most one each; None when no such change gives this digest.
    """
    more = int(excess[0].astype(np.int64))
    if abs(more) > 1 or (more == 0 and not excess[2:].any()):
        return None
    lacking, coming = _words(planned), _words(others)
    if more == -1:
        at = np.flatnonzero((lacking + excess[2:] == 0).all(axis=1))
        return ([int(at[0])], []) if len(at) else None
    if more == 1:
        at = np.flatnonzero((coming == excess[2:]).all(axis=1))
        return ([], [int(at[0])]) if len(at) else None
    order = np.argsort(coming[:, 0])
    wanted = lacking + excess[2:]
    places = np.searchsorted(coming[order, 0], wanted[:, 0]).clip(max=len(order) - 1)
    at = np.flatnonzero((coming[order[places]] == wanted).all(axis=1))
    return ([int(at[0])], [int(order[places[at[0]]])]) if len(at) else None


def _words(rows: np.ndarray) -> np.ndarray:
    numbers = sample_numbers(*rows.T)
    return np.stack([mixed_numbers(numbers, 0), mixed_numbers(numbers, 1)], axis=1)
