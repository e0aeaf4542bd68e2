"""Numbers -> arrays, for one batch."""

from pyloader.collate.converting import ConvertingCollator, map_leaves, two_steps, with_dtypes
from pyloader.collate.numpy_arrays import NumpyDataCollator
from pyloader.collate.padding import PaddingDataCollator

__all__ = ["ConvertingCollator", "NumpyDataCollator", "PaddingDataCollator", "map_leaves", "two_steps", "with_dtypes"]
