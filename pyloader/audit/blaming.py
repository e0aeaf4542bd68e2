"""Blaming: when a share of a step differs from the plan by a sample or two, its digest says which."""

from __future__ import annotations

import numpy as np

from pyloader.audit.digests import mixed_numbers
from pyloader.plan import sample_numbers

__all__ = ["culprits"]


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
