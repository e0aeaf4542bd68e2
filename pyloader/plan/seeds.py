"""Seeds: random numbers that a seed and a purpose decide.

Derived by SeedSequence with the purpose in its spawn key, never added: see pyloader.plan.order.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pyloader.plan.keys import mix_bits

__all__ = ["SAMPLE", "SHUFFLE", "SPLIT", "derived_generator", "mixed_bits", "seed_number"]

# Purposes: they keep the random streams apart, from each other and from those of pyloader.plan.order.
SHUFFLE = 101
SAMPLE = 102
SPLIT = 103


def seed_number(seed: Any) -> int:
    """Return a seed as an integer: of a JAX key, an array of integers, the number that they spell.

    Raises:
      TypeError: it is neither.
      ValueError: it is below 0.
    """
    if np.ndim(seed) == 1 and np.asarray(seed).dtype.kind == "u":
        return sum(int(word) << (32 * place) for place, word in enumerate(np.asarray(seed)[::-1]))
    try:
        number = operator.index(seed)
    except TypeError as exc:
        raise TypeError(f"seed must be an integer, or a key of jax.random.PRNGKey, got {seed!r}") from exc
    if number < 0:
        raise ValueError(f"seed must be at least 0, got {number}")
    return number


def derived_generator(seed: Any, *purpose: int) -> np.random.Generator:
    """Return the generator that belongs to a seed and a purpose."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed_number(seed), spawn_key=purpose)))


def mixed_bits(indices: np.ndarray, seed: Any, *purpose: int) -> np.ndarray:
    """Return 64 random bits for every index, the same for the same index: uint64 array of the indices' shape.

    SplitMix64 by counter: G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    (start,) = derived_generator(seed, *purpose).integers(2**64, size=1, dtype=np.uint64)
    bits: np.ndarray = (indices.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
    mix_bits(bits)
    return bits
