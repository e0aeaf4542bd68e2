"""Differences: what a share of a batch had otherwise than planned, in words."""

from __future__ import annotations

import numpy as np

from pyloader.audit.digests import culprits
from pyloader.audit.units import Units

__all__ = ["excess_in_words"]


def excess_in_words(planned: np.ndarray, others: np.ndarray, excess: np.ndarray, units: Units) -> str:
    """Return what came that was not planned, and what did not come.

    Args:
      planned: What was planned, int64 of shape [units, 2].
      others: What may have come instead, int64 of shape [units, 2].
      excess: The digest found less the digest planned, uint64 of shape [4].
      units: What is counted.
    """
    found = culprits(planned, others, excess)
    more, stand_ins = excess[:2].astype(np.int64).tolist()
    if found is not None:
        lacking, coming = found
        parts = [f"{units.name(planned[index])} did not come" for index in lacking]
        for row in others[coming]:
            times = "came twice" if (planned == row).all(axis=1).any() else "came, which was not planned here"
            parts.append(f"{units.name(row)} {times}")
    elif more == 0:
        parts = [f"other samples than the {len(planned):,} planned"]
    else:
        number = f"{abs(more):,} sample{'' if abs(more) == 1 else 's'}"
        parts = [f"{number} {'more' if more > 0 else 'fewer'} than the {len(planned):,} planned"]
    if stand_ins > 0:
        parts.append("another row stands in" if stand_ins == 1 else f"{stand_ins:,} rows stand in")
    return ", ".join(parts)
