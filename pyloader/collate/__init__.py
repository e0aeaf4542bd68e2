"""Numbers -> arrays, for one batch."""

from pyloader.collate.numpy_arrays import NumpyDataCollator
from pyloader.collate.padding import PaddingDataCollator

__all__ = ["NumpyDataCollator", "PaddingDataCollator"]
