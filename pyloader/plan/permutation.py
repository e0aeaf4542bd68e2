"""Permutation: a random order of n items, by place, without an array of n.

A generalised Feistel cipher with cycle walking: J. Black and P. Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA
2002.  An index is a pair (left, right) in [0, a) x [0, b), where a and b are about the square root of n; each round
adds to one of them a random function of the other, modulo its range, which can be undone, so that every round is a
permutation of the pairs.  At most a pairs are no index: one that comes out as such goes through again, until it is one.

The random functions are tables of sqrt(n) numbers: 1.5 MB in all for n = 10^9, made in a few milliseconds.  Six rounds
of independent random functions; four already are a strong pseudorandom permutation (M. Luby and C. Rackoff, How to
construct pseudorandom permutations from pseudorandom functions, SIAM J. Computing 17, 1988).

Up to 2^18 items (2 MiB) the permutation itself is kept: any order can come, and looking it up is faster.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyloader.plan.seeds import derived_generator

__all__ = ["Permutation"]

_ROUNDS = 6
_LISTED = 2**18


class Permutation:
    """A permutation of 0..length-1 that a seed and a purpose decide.

    Args:
      length: At least 0.
      seed: An integer >= 0, or a JAX key.
      purpose: Numbers that keep different uses of a seed apart: a constant of `seeds`, an epoch.
    """

    def __init__(self, length: int, seed: Any, *purpose: int) -> None:
        generator = derived_generator(seed, *purpose)
        self._length = length
        self._all = generator.permutation(length) if length <= _LISTED else None
        if self._all is not None:
            return
        self._lefts = math.isqrt(length - 1) + 1
        self._rights = -(-length // self._lefts)
        ranges = (self._lefts, self._rights)
        self._tables = [generator.integers(ranges[n % 2], size=ranges[1 - n % 2]) for n in range(_ROUNDS)]

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Return what comes at the places `indices`.

        Args:
          indices: int64 array, each in [0, length).

        Returns:
          int64 array of the same shape.
        """
        if self._all is not None:
            return self._all.take(indices)
        places = self._once_through(indices)
        outside = np.flatnonzero(places >= self._length)
        while outside.size:
            places[outside] = self._once_through(places[outside])
            outside = outside[places[outside] >= self._length]
        return places

    def _once_through(self, indices: np.ndarray) -> np.ndarray:
        left, right = np.divmod(indices, self._rights)
        for left_table, right_table in zip(self._tables[::2], self._tables[1::2], strict=True):
            left = (left + left_table[right]) % self._lefts
            right = (right + right_table[left]) % self._rights
        return left * self._rights + right
