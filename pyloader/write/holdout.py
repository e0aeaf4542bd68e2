"""Which output a sample goes to: by what it holds, never by where it stands.

The same sample always goes to the same output, however the dump grows or is ordered; duplicates stay together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import xxhash

from pyloader.write.rows import Rows

__all__ = ["MAIN", "assignment", "output_names"]

MAIN = "train"


def output_names(holdout: Mapping[str, float] | None) -> tuple[str, ...]:
    """Return the outputs' directories, the main one first; "" when nothing is held out.

    Raises:
      ValueError: a name is no plain directory name, or the shares leave nothing for the main output.
    """
    if not holdout:
        return ("",)
    for name, share in holdout.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name) or name == MAIN:
            raise ValueError(f"holdout {name!r} must be a plain directory name other than {MAIN!r}, such as val")
        if not 0 < share < 1:
            raise ValueError(f"holdout {name}={share} must be a share between 0 and 1, such as {name}=0.02")
    if sum(holdout.values()) >= 1:
        raise ValueError(f"the holdouts take {sum(holdout.values()):g} of all samples, and leave none to train on")
    return (MAIN, *holdout)


def assignment(rows: Rows, holdout: Mapping[str, float]) -> np.ndarray:
    """Return each row's output, as an index into `output_names(holdout)`: int64 array of shape [len(rows)]."""
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, rows.pieces()), np.uint64, len(rows))
    shares = np.cumsum(list(holdout.values()))
    output = np.searchsorted(shares, hashes / 2.0**64, side="right") + 1
    output[output > len(shares)] = 0
    return output
