"""Order: which permutation comes where, as a function of the seed and the place.

Every permutation is `Generator(PCG64(SeedSequence(seed, spawn_key=(PURPOSE, epoch, ...)))).permutation`: derived, never
added (seed + epoch would make epoch 1 of seed 7 equal epoch 0 of seed 8), never from a bare list ([7, 1, 0] equals
[7, 1]), never global.  tests/golden/order.json holds us to the numbers.
"""

from __future__ import annotations

import functools

import numpy as np
import xxhash

__all__ = [
    "chunk_order",
    "deal_phase",
    "encode_generator",
    "order_digest",
    "pack_generator",
    "row_order",
    "segment_order",
    "share_order",
    "source_seed",
]

# Purposes: they keep the random streams apart.
_CHUNK_ORDER = 1
_ROW_ORDER = 2
_DEAL_PHASE = 3
_SEGMENT_ORDER = 4
_ENCODE = 5
_PACK = 6
_SOURCE = 7
_SHARE_ORDER = 8


def chunk_order(num_chunks: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits the chunks.

    Args:
      num_chunks: How many chunks there are, at least 1.
      seed: The run's seed, an integer >= 0.
      epoch: Counted from 0.

    Returns:
      int64 array of shape [num_chunks], a permutation of range(num_chunks): chunk_order(...)[s] is the chunk that
      arrives as number s.
    """
    return _generator(seed, _CHUNK_ORDER, epoch).permutation(num_chunks)


def row_order(num_rows: int, *, seed: int, epoch: int, chunk: int) -> np.ndarray:
    """Return the permutation of a whole chunk's rows, int64 of shape [num_rows]; `chunk` is its index in the list."""
    return _generator(seed, _ROW_ORDER, epoch, chunk).permutation(num_rows)


def deal_phase(window: int, *, seed: int, epoch: int, chunk: int) -> int:
    """Return where a chunk's first hand begins to round up, in [0, window)."""
    return int(_generator(seed, _DEAL_PHASE, epoch, chunk).integers(window))


def segment_order(num_rows: int, *, seed: int, epoch: int, segment: int, stream: int | None = None) -> np.ndarray:
    """Return the joint permutation of a segment's rows, int64 of shape [num_rows].

    `stream` says whose segment it is; None where an epoch is one stream.
    """
    key = (epoch, segment) if stream is None else (epoch, segment, stream)
    return _generator(seed, _SEGMENT_ORDER, *key).permutation(num_rows)


def encode_generator(*, seed: int, epoch: int, step: int, stream: int = 0) -> np.random.Generator:
    """Return the generator that encodes one batch, for augmentation.

    Args:
      seed: The run's seed, an integer >= 0.
      epoch: Counted from 0.
      step: The batch's number in its epoch, from 0.
      stream: The first stream that the batch's rank serves, so that ranks differ.
    """
    return _generator(seed, _ENCODE, epoch, step, stream)


def share_order(num_shares: int, *, seed: int, epoch: int, run: int) -> np.ndarray:
    """Return the order of the shares of a run that was sorted by length, int64 of shape [num_shares]; see `buckets`."""
    return _generator(seed, _SHARE_ORDER, epoch, run).permutation(num_shares)


def pack_generator(*, seed: int, epoch: int, chunk: int) -> np.random.Generator:
    """Return the generator that packs a chunk's documents into rows."""
    return _generator(seed, _PACK, epoch, chunk)


def source_seed(name: str, *, seed: int, run: int) -> int:
    """Return the seed of a mixture's source: of its chunks' order, its rows', its packs and its rows' keys.

    Args:
      name: What the source is called.
      seed: The run's seed, an integer >= 0.
      run: Which time the mixture is gone through, from 0.
    """
    hashed = xxhash.xxh3_128(name.encode("utf-8", "surrogateescape")).intdigest()
    words = (hashed >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))
    sequence = np.random.SeedSequence(seed, spawn_key=(_SOURCE, run, *words))
    first, second = sequence.generate_state(2, np.uint64)
    return int(first) << 64 | int(second)


@functools.cache  # a wrapper takes the state after every batch
def order_digest() -> str:
    """Return 16 hexadecimal digits that change when NumPy's random streams do.

    NumPy does not promise that a Generator gives the same numbers in every version; a state saved under another stream
    would go on in another order, so states hold this.
    """
    return xxhash.xxh3_64(row_order(1000, seed=0, epoch=0, chunk=0).astype("<i8").tobytes()).hexdigest()


def _generator(seed: int, *spawn_key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=spawn_key)))
