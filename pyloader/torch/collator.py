"""TorchDataCollator: numbers -> tensors, which share the memory of NumPy's arrays where that is allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike

from pyloader.collate import ConvertingCollator, map_leaves, with_dtypes
from pyloader.datacollator import DataCollator
from pyloader.errors import CollateError

__all__ = ["TorchDataCollator", "as_tensor"]


class TorchDataCollator(ConvertingCollator):
    """Makes tensors of the columns that hold numbers; lists of strings stay lists.

    A tensor has its array's dtype, uint16, uint32 and uint64 among them (torch has few operations for those), and its
    memory; read-only arrays, negative strides and foreign byte orders are copied.

    Args:
      arrays: Makes the NumPy arrays; None is NumpyDataCollator().  PaddingDataCollator(pad_value=0) is for rows of
        unequal length.
      dtypes: A dict, column -> dtype of torch or NumPy, for the columns that are to have another one:
        {"image": torch.bfloat16}.  Floats may be rounded; ints must fit.
      pin_memory: Whether tensors are in page-locked memory, from which prefetch_to_device copies without waiting.  It
        does nothing on a machine without CUDA, so that the same script runs there.

    Raises:
      TypeError: an argument of the wrong kind.
    """

    is_thread_safe = ConvertingCollator.is_thread_safe  # converting is

    def __init__(
        self,
        arrays: DataCollator | None = None,
        *,
        dtypes: Mapping[str, torch.dtype | DTypeLike] | None = None,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(arrays)
        self.dtypes = dict(dtypes or {})
        self.pin_memory = pin_memory
        self._numpy_dtypes = {name: _numpy_dtype(dtype) for name, dtype in self.dtypes.items()}
        self.makes_views = not self.dtypes and not pin_memory

    def convert_batch(self, batch: Any) -> Any:
        """Return `batch` with tensors for arrays, in dicts, lists and tuples.

        Raises:
          CollateError: an array that torch has no dtype for, or `dtypes` names a column that is not there, or a dtype
            that cannot hold its numbers.
        """
        batch = with_dtypes(batch, self._numpy_dtypes)
        pins = self.pin_memory and torch.cuda.is_available()

        def convert(name: str, leaf: Any) -> Any:
            tensor = as_tensor(leaf, name)
            if not isinstance(tensor, torch.Tensor):
                return tensor
            if isinstance(dtype := self.dtypes.get(name), torch.dtype):
                tensor = tensor.to(dtype)
            return tensor.pin_memory() if pins else tensor

        return map_leaves(convert, batch)


def as_tensor(value: Any, name: str = "") -> Any:
    """Return the tensor that shares an array's memory, or holds a copy where torch cannot share it.

    What is no array stays what it is, and so do arrays of strings and objects.

    Raises:
      CollateError: torch has no dtype for the array's.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind in "OSU":
        return value
    try:
        if value.flags.writeable:
            with contextlib.suppress(ValueError):  # strides or a byte order that torch does not have
                return torch.from_numpy(value)
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C"))
    except TypeError as exc:
        what = f"{name!r} is {value.dtype}, which torch has no dtype for."
        raise CollateError(what, "Make it a number, in read_file or batch_encode") from exc


def _numpy_dtype(dtype: Any) -> np.dtype:
    """Return the dtype that checks what `dtype` can hold: that of NumPy, or float32 for bfloat16 and its like."""
    if isinstance(dtype, torch.dtype):
        try:
            dtype = torch.empty(0, dtype=dtype).numpy().dtype
        except TypeError:
            dtype = np.float32
    checked: np.dtype = np.dtype(dtype)
    return checked
