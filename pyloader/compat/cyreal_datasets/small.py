"""SmallDataset: samples in memory, by index; and a source that reads them from their files instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from pyloader.jax.disk_source import DiskSource

__all__ = ["Rows", "SmallDataset"]

Rows: TypeAlias = "dict[str, np.ndarray]"


class SmallDataset:
    """Samples in memory, each a dict.

    Args:
      columns: Name -> array [n, ...].
    """

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self._columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self._columns.items()}

    def as_array_dict(self) -> dict[str, Any]:
        """Return all samples as JAX arrays, name -> [n, ...]."""
        return {name: jnp.asarray(values) for name, values in self._columns.items()}

    @classmethod
    def make_disk_source(cls, *, ordering: str = "shuffle", prefetch_size: int = 64, **options: Any) -> DiskSource:
        """Return a source that reads the samples from their files, where these can be mapped.

        Args:
          ordering, prefetch_size: As for DiskSource.
          options: Those of the class: split=, data_dir= and so on.
        """
        num_samples, read = cls._reading(**options)
        return DiskSource(num_samples, rows_fn=read, ordering=ordering, prefetch_size=prefetch_size)

    @classmethod
    def _reading(cls, **options: Any) -> tuple[int, Callable[[np.ndarray], Rows]]:
        """Return how many samples there are, and what reads those at some indices."""
        dataset = cls(**options)
        return len(dataset), lambda indices: {name: values[indices] for name, values in dataset._columns.items()}
