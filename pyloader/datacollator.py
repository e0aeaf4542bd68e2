"""DataCollator: numbers -> what the training loop takes.  The third of the three methods that users override."""

from __future__ import annotations

from typing import Any

from pyloader.columns import Columns
from pyloader.options import names_of

__all__ = ["DataCollator"]

__getattr__ = names_of("pyloader.collate", "NumpyDataCollator", of=__name__)


class DataCollator:
    """Collates one batch.  Subclass it and write `collate_batch`.

    Attributes:
      is_thread_safe: Whether several threads may call its methods at once, so that num_workers="auto" may start more
        than one; of a subclass that writes methods anew it must be said anew.

    >>> class Pair(DataCollator):
    ...     def collate_batch(self, columns):
    ...         return np.array(columns["x"], np.float32), np.array(columns["y"])
    >>> import numpy as np
    >>> Pair().collate_batch({"x": [0.5, 1.0], "y": [0, 1]})
    (array([0.5, 1. ], dtype=float32), array([0, 1]))
    """

    is_thread_safe: bool = False

    def collate_batch(self, columns: Columns) -> Any:
        """Turn one batch's encoded columns into arrays or tensors.  What it returns is what the loop receives."""
        raise NotImplementedError(f"{type(self).__name__} has no collate_batch(columns): write one")
