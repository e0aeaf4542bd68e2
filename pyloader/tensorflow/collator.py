"""TensorFlowDataCollator: numbers and strings -> tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

from pyloader.collate import ConvertingCollator, map_leaves, with_dtypes
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError

__all__ = ["TensorFlowDataCollator", "as_array"]


class TensorFlowDataCollator(ConvertingCollator):
    """Makes tensors of columns of numbers and of strings, for a loop of your own; as_tf_dataset does without it.

    Args:
      arrays: Makes the NumPy arrays; None is NumpyDataCollator().  PaddingDataCollator(pad_value=0) is for rows of
        unequal length.
      dtypes: A dict, column -> dtype of TensorFlow or NumPy, for the columns that are to have another one:
        {"image": tf.bfloat16}.  Floats may be rounded; ints must fit.

    Raises:
      TypeError: an argument of the wrong kind.
    """

    is_thread_safe = ConvertingCollator.is_thread_safe  # converting is

    def __init__(
        self, arrays: DataCollator | None = None, *, dtypes: Mapping[str, tf.DType | DTypeLike] | None = None
    ) -> None:
        super().__init__(arrays)
        self.dtypes = {name: np.dtype(tf.as_dtype(dtype).as_numpy_dtype) for name, dtype in (dtypes or {}).items()}

    def convert_batch(self, batch: Any) -> Any:
        """Return `batch` with tensors for arrays and lists of strings; lists of other things stay lists.

        Raises:
          CollateError: an array that TensorFlow has no dtype for, or `dtypes` names a column that is not there, or a
            dtype that cannot hold its numbers.
        """
        return map_leaves(_tensor, with_dtypes(batch, self.dtypes))


def as_array(value: Any, name: str = "") -> np.ndarray:
    """Return an array, or a list of strings, as an array that TensorFlow has a dtype for.

    Raises:
      CollateError: it has none.
    """
    found = f"a {type(value).__name__}"
    if _is_texts(value):
        return np.array(value, object)
    if tf.is_tensor(value):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        try:
            tf.as_dtype(value.dtype)
            return value
        except TypeError:
            found = str(value.dtype)
    raise CollateError(
        f"{name!r} is {found}, which TensorFlow has no tensors of.", "Make numbers of it in batch_encode"
    )


def _tensor(name: str, leaf: Any) -> Any:
    return tf.convert_to_tensor(as_array(leaf, name)) if isinstance(leaf, np.ndarray) or _is_texts(leaf) else leaf


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str | bytes) for text in value)
