"""HostCall: a Python function that compiled code calls, and that remembers how it failed.

JAX turns whatever such a function raises into a JaxRuntimeError that has it as text only.  A HostCall keeps the
exception, and `own_errors` raises that one instead.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import io_callback

from pyloader.jax.source import PyTree

__all__ = ["HostCall", "as_dtype", "own_errors"]


class HostCall:
    """A function for compiled code to call on the host.

    Args:
      fn: Takes NumPy arrays, and returns a tree of them.

    Attributes:
      failure: What the latest call raised; None when it returned.
    """

    def __init__(self, fn: Callable[..., PyTree]) -> None:
        self._fn = fn
        self.failure: BaseException | None = None

    def __call__(self, answer_spec: PyTree, *arguments: Any) -> PyTree:
        """Return what the function answers, as arrays of `answer_spec`, to be computed when the compiled code runs."""
        # JAX keeps compiled code, and what it calls, longer than anyone can use it: not the files that are open here.
        return io_callback(partial(_run, weakref.ref(self)), answer_spec, *arguments)

    def run(self, *arguments: Any) -> PyTree:
        """Return what the function answers, now."""
        try:
            answer = self._fn(*jax.tree.map(np.asarray, arguments))
        except BaseException as exc:  # it is raised again where the loop is: see own_errors
            self.failure = exc
            raise
        self.failure = None
        return answer


def _run(call: weakref.ref[HostCall], *arguments: Any) -> PyTree:
    alive = call()
    if alive is None:
        raise ReferenceError("the DataLoader that this was compiled for is gone: keep it while you use the function")
    return alive.run(*arguments)


@contextmanager
def own_errors(calls: Callable[[], Iterable[HostCall]]) -> Iterator[None]:
    """Raise what a HostCall raised as itself, instead of the JaxRuntimeError that JAX makes of it.

    Args:
      calls: Returns the HostCalls that there are: some are only made while JAX traces.
    """
    for call in calls():
        call.failure = None
    try:
        yield
    except jax.errors.JaxRuntimeError:
        for call in calls():
            if call.failure is not None:
                raise call.failure from None  # the JaxRuntimeError has the same traceback once more, as text
        raise


def as_dtype(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return `array` as `dtype`, which JAX has instead of its own.

    Raises:
      ValueError: whole numbers that do not fit.
    """
    if array.dtype == dtype:
        return array
    if array.dtype.kind in "iu" and np.dtype(dtype).kind in "iu" and array.size:
        limits, low, high = np.iinfo(dtype), array.min(), array.max()
        if low < limits.min or high > limits.max:
            raise ValueError(
                f"an array of {array.dtype} holds values from {low} to {high}, which do not fit into {np.dtype(dtype)} "
                '(what JAX makes of it). Write jax.config.update("jax_enable_x64", True), or give smaller numbers'
            )
    return array.astype(np.dtype(dtype))
