"""Elementwise: a source whose elements are a function of another's, with the same state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pyloader.jax.source import PyTree, Source, SourceTransform, as_source

__all__ = ["Elementwise", "mapping_with"]


class Elementwise(SourceTransform):
    """What `function` makes of the elements of `inner`.

    Args:
      inner: The source.
      function: (element, mask) -> element; pure, and traceable by JAX.
      name: What the stage is called when shown.
      element_spec_override: The shapes and dtypes of what it answers; None asks JAX.
    """

    def __init__(
        self,
        inner: Source,
        function: Callable[[PyTree, Any], PyTree],
        name: str,
        element_spec_override: PyTree | None = None,
    ) -> None:
        self.inner, self._function, self._name = as_source(inner), function, name
        self.steps_per_epoch = inner.steps_per_epoch
        self.mask_shape, self.rows_per_element = self.inner.mask_shape, self.inner.rows_per_element
        mask = jax.ShapeDtypeStruct(self.mask_shape, jnp.bool_)
        self._spec = element_spec_override
        if element_spec_override is None:
            self._spec = jax.eval_shape(function, inner.element_spec(), mask)
        if self.inner.next_rows is not None:
            self.next_rows = self._next_rows

    def __repr__(self) -> str:
        return f"{self.inner!r}, {self._name}"

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of an element."""
        return self._spec

    def init_state(self, key: Any) -> Any:
        """Return the inner source's state: this has none of its own."""
        return self.inner.init_state(key)

    def next(self, state: Any) -> tuple[PyTree, Any, Any]:
        """Return what the function makes of the next element, its mask, and the state after it."""
        element, mask, state = self.inner.next(state)
        return *self.apply(element, mask), state

    def apply(self, element: PyTree, mask: Any) -> tuple[PyTree, Any]:
        """Return what the function makes of one element, and its mask."""
        return self._function(element, mask), mask

    def _next_rows(self, state: Any, count: int, last_batch: str) -> tuple[PyTree, Any, Any]:
        assert self.inner.next_rows is not None
        rows, mask, state = self.inner.next_rows(state, count, last_batch)
        return jax.vmap(self._function)(rows, mask), mask, state


def mapping_with(owner: str, spec: PyTree, key: str) -> Any:
    """Return what `spec` has under `key`.

    Raises:
      TypeError: the elements are no dicts.
      KeyError: they have no such key.
    """
    if not isinstance(spec, dict):
        raise TypeError(f"{owner} needs elements that are dicts, got {type(spec).__name__}")
    if key not in spec:
        raise KeyError(f"{owner} needs {key!r}; the elements have {', '.join(map(repr, spec))}")
    return spec[key]
