"""Numbers become NumPy arrays, and those what a framework takes: two steps, which may happen in two places.

Arrays travel between processes, and can be cut; tensors do so badly.  So the first step is the workers', and the second
is taken where the loop is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyloader.collate.numpy_arrays import NumpyDataCollator, as_dtype, check_names
from pyloader.columns import Columns
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError
from pyloader.thread_safety import is_thread_safe

__all__ = ["ConvertingCollator", "map_leaves", "two_steps", "with_dtypes"]


class ConvertingCollator(DataCollator):
    """Collates with `arrays`, and converts what that returns.  A framework's collator writes `convert_batch`.

    Args:
      arrays: Makes NumPy arrays of a batch; None is NumpyDataCollator().

    Attributes:
      makes_views: Whether converting arrays copies nothing, so that it may be done in the loop's own thread.

    Raises:
      TypeError: `arrays` is no DataCollator.
    """

    makes_views: bool = False

    def __init__(self, arrays: DataCollator | None = None) -> None:
        if not isinstance(arrays, DataCollator | None):
            what = f"{type(self).__name__} takes a DataCollator that makes NumPy arrays, not a {type(arrays).__name__}"
            raise TypeError(f"{what}: {type(self).__name__}(PaddingDataCollator(pad_value=0)), say")
        self.arrays = NumpyDataCollator() if arrays is None else arrays

    @property
    def is_thread_safe(self) -> bool:  # type: ignore[override]
        """Whether several threads may call it at once: where `arrays` may be called so."""
        return is_thread_safe(self.arrays)

    def collate_batch(self, columns: Columns) -> Any:
        """Return a batch, collated and converted."""
        return self.convert_batch(self.arrays.collate_batch(columns))

    def convert_batch(self, batch: Any) -> Any:
        """Return what the loop receives, of the batch that `arrays` has made."""
        raise NotImplementedError(f"{type(self).__name__} has no convert_batch(batch): write one")


def two_steps(collator: DataCollator) -> tuple[DataCollator, Callable[[Any], Any] | None, bool]:
    """Return what makes arrays, what makes the loop's batch of them (None if they are it), and whether by views."""
    own = isinstance(collator, ConvertingCollator) and type(collator).collate_batch is ConvertingCollator.collate_batch
    if not own:  # a subclass that collates in another way is asked to
        return collator, None, True
    assert isinstance(collator, ConvertingCollator)
    return collator.arrays, collator.convert_batch, collator.makes_views


def with_dtypes(batch: Any, dtypes: Mapping[str, np.dtype]) -> Any:
    """Return `batch`, a dict of arrays, with the columns that `dtypes` names as those.

    Raises:
      CollateError: it is no dict, has no such column, or one that the dtype cannot hold.
    """
    if not dtypes:
        return batch
    if not isinstance(batch, dict):
        raise CollateError(f"dtypes goes by column, and the batch is a {type(batch).__name__}.", "Collate to a dict")
    check_names("dtypes", dtypes, batch)
    return {name: as_dtype(name, values, dtypes[name]) if name in dtypes else values for name, values in batch.items()}


def map_leaves(convert: Callable[[str, Any], Any], batch: Any, name: str = "") -> Any:
    """Return `batch` with every array, tensor or other leaf as `convert(name, leaf)` makes it.

    Dicts, lists and tuples (named ones too) are gone through; the name is that of the dict entry a leaf is in, or its
    place.  A list of strings, numbers or None is one leaf.
    """
    if isinstance(batch, np.ndarray):
        return convert(name, batch)
    if isinstance(batch, dict):
        return {key: map_leaves(convert, value, str(key)) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        if batch and isinstance(batch[0], str | bytes | int | float | None):
            return convert(name, batch)
        values = [map_leaves(convert, value, name or str(place)) for place, value in enumerate(batch)]
        if isinstance(batch, list):
            return values
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    return convert(name, batch)
