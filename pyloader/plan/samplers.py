"""Samplers: which index comes where, as an endless line that is a function of the seed and the place.

Positions count from 0 and never end; `length` of them are an epoch.  `sampler.indices(start, stop)` is a range of the
line, and costs the same wherever it lies, so that going to any step is as quick as starting.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import xxhash

from pyloader.options import checked_integer
from pyloader.plan.permutation import Permutation
from pyloader.plan.seeds import derived_generator

__all__ = ["IIDSampler", "IndexBatches", "PermutationSampler", "Sampler", "SequentialSampler", "WeightedSampler"]

# Purposes: they keep the random streams apart, also from those of pyloader.plan.seeds.
_EPOCH_ORDER = 111
_DRAWS = 112


class Sampler(ABC):
    """Says which index comes where.  Subclass it and write `indices`.

    Args:
      length: How many items there are to choose from; so many positions are an epoch.
    """

    def __init__(self, length: int) -> None:
        self.length = checked_integer("length", length, at_least=1)

    @abstractmethod
    def indices(self, start: int, stop: int) -> np.ndarray:
        """Return what comes at positions [start, stop): int64 of shape [stop - start], each in [0, length).

        It must be a pure function of its arguments, and may be called from several threads.
        """

    @property
    def identity(self) -> str:
        """What, beside the length, the order depends on: saved in states, to tell whether they fit."""
        return type(self).__name__

    def batches(self, batch_size: int) -> IndexBatches:
        """Return the line cut into batches, from its start on."""
        return IndexBatches(self, batch_size)


class IndexBatches(Iterator[np.ndarray]):
    """A sampler's line, cut into batches that never end.  The batch at a step is a function of the sampler alone.

    Args:
      sampler: Whose line it is.
      batch_size: How many indices a batch has, at least 1.

    Attributes:
      step: Of the batch that comes next, counted from 0.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        self._sampler, self._batch_size = sampler, checked_integer("batch_size", batch_size, at_least=1)
        self.step = 0

    def __next__(self) -> np.ndarray:
        start = self.step * self._batch_size
        self.step += 1
        return self._sampler.indices(start, start + self._batch_size)

    def seek(self, step: int) -> None:
        """Go to a step; costs the same for every step."""
        self.step = checked_integer("step", step, at_least=0)


class SequentialSampler(Sampler):
    """0, 1, 2, ..., length - 1, and again from 0.

    >>> SequentialSampler(5).indices(3, 8)
    array([3, 4, 0, 1, 2])
    """

    def indices(self, start: int, stop: int) -> np.ndarray:
        """Return positions [start, stop)."""
        return np.arange(start, stop, dtype=np.int64) % self.length


class PermutationSampler(Sampler):
    """Every index once an epoch, each epoch in another order: what a DataLoader that shuffles uses.

    An epoch's order is a `Permutation`: a long one takes neither memory nor time to begin.

    >>> sampler = PermutationSampler(10**12, seed=7)
    >>> bool((sampler.indices(5 * 10**11, 5 * 10**11 + 4) < 10**12).all())
    True

    Args:
      length: How many items there are.
      seed: An integer >= 0.
    """

    def __init__(self, length: int, seed: int = 42) -> None:
        super().__init__(length)
        self.seed = checked_integer("seed", seed, at_least=0)
        # Two epochs are kept, because two iterators over one loader may stand in different ones.
        self._order = functools.lru_cache(maxsize=2)(
            functools.partial(Permutation, self.length, self.seed, _EPOCH_ORDER)
        )

    @property
    def identity(self) -> str:
        """Its name and seed."""
        return f"PermutationSampler(seed={self.seed})"

    def indices(self, start: int, stop: int) -> np.ndarray:
        """Return positions [start, stop)."""
        parts = []
        while start < stop:
            epoch, first = divmod(start, self.length)
            last = min(self.length, first + stop - start)
            parts.append(self._order(epoch)(np.arange(first, last, dtype=np.int64)))
            start += last - first
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])


class IIDSampler(Sampler):
    """Each index drawn by itself, with replacement: in an epoch's worth some come several times, and some do not.

    Args:
      length: How many items there are.
      seed: An integer >= 0.
    """

    def __init__(self, length: int, seed: int = 42) -> None:
        super().__init__(length)
        self.seed = checked_integer("seed", seed, at_least=0)

    @property
    def identity(self) -> str:
        """Its name and seed."""
        return f"IIDSampler(seed={self.seed})"

    def indices(self, start: int, stop: int) -> np.ndarray:
        """Return positions [start, stop)."""
        return (_draws(self.seed, start, stop) * self.length).astype(np.int64)


class WeightedSampler(Sampler):
    """Each index drawn by itself, with replacement, as often as its weight says.

    Args:
      weights: One number for each item, at least 0, not all 0; only their ratios count.  They take 8 bytes an item.
      seed: An integer >= 0.

    Raises:
      ValueError: the weights are not such.
    """

    def __init__(self, weights: Sequence[float] | np.ndarray, seed: int = 42) -> None:
        given = np.asarray(weights, np.float64)
        if given.ndim != 1 or not np.isfinite(given).all() or (given < 0).any() or not given.any():
            raise ValueError("weights must be finite numbers >= 0 in one dimension, and not all of them 0")
        super().__init__(len(given))
        self.seed = checked_integer("seed", seed, at_least=0)
        sums = np.cumsum(given)
        self._shares = sums / sums[-1]  # the last is exactly 1, and so are those of trailing zeros: never drawn

    @property
    def identity(self) -> str:
        """Its name, its seed, and a digest of its weights."""
        return f"WeightedSampler(seed={self.seed}, weights {xxhash.xxh3_64(self._shares.tobytes()).hexdigest()})"

    def indices(self, start: int, stop: int) -> np.ndarray:
        """Return positions [start, stop)."""
        return np.searchsorted(self._shares, _draws(self.seed, start, stop), side="right").astype(np.int64)


def _draws(seed: int, start: int, stop: int) -> np.ndarray:
    """Return numbers [start, stop) of an endless line of float64 in [0, 1)."""
    generator = derived_generator(seed, _DRAWS)
    assert isinstance(generator.bit_generator, np.random.PCG64)
    generator.bit_generator.advance(start)  # a float64 is one step of it, so the line can be entered anywhere
    return generator.random(stop - start)
