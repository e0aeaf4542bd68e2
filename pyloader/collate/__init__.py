"""Numbers -> arrays, for one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyloader.lazy import lazy_names

if TYPE_CHECKING:
    from pyloader.collate.converting import ConvertingCollator, map_leaves, two_steps, with_dtypes
    from pyloader.collate.numpy_arrays import NumpyDataCollator
    from pyloader.collate.padding import PaddingDataCollator
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "converting": "ConvertingCollator map_leaves two_steps with_dtypes",
            "numpy_arrays": "NumpyDataCollator",
            "padding": "PaddingDataCollator",
        },
    )

__all__ = ["ConvertingCollator", "NumpyDataCollator", "PaddingDataCollator", "map_leaves", "two_steps", "with_dtypes"]
