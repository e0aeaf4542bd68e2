"""Elementwise stages: what a pure function makes of each element of a source, with the state of that source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pyloader.jax.source import PyTree, Source, SourceTransform, as_source
from pyloader.options import checked_word

__all__ = [
    "Elementwise",
    "FlattenTransform",
    "MapTransform",
    "NormalizeImageTransform",
    "RenameTransform",
    "TimeSeriesBatchTransform",
]


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


@dataclass(frozen=True)
class MapTransform:
    """Apply a pure function to each element: a sample before BatchTransform, a batch after it.

    Args:
      fn: (element, mask) -> element; JAX traces it.
      element_spec_override: The shapes and dtypes of what it answers; unless given, JAX is asked.
    """

    fn: Callable[[PyTree, Any], PyTree]
    element_spec_override: PyTree | None = None

    def __call__(self, inner: Source) -> Source:
        """Return the mapped elements of `inner`."""
        name = getattr(self.fn, "__name__", type(self.fn).__name__)
        return Elementwise(inner, self.fn, f"MapTransform({name})", self.element_spec_override)


@dataclass(frozen=True)
class RenameTransform:
    """Rename keys of elements that are dicts.

    Args:
      renames: {"old": "new"}.

    Raises:
      TypeError, KeyError, ValueError: when put on a source: its elements are no dicts, lack a key, or would have two
        of one name.
    """

    renames: Mapping[str, str]

    def __call__(self, inner: Source) -> Source:
        """Return the elements of `inner` with other keys."""
        renames = dict(self.renames)
        for name in renames:
            _spec_under("RenameTransform", inner, name)
        names = [renames.get(name, name) for name in inner.element_spec()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"RenameTransform would give several arrays the name {min(twice)!r}")
        rename = lambda element, _: {renames.get(name, name): value for name, value in element.items()}  # noqa: E731
        return Elementwise(inner, rename, f"RenameTransform({renames})")


@dataclass(frozen=True)
class NormalizeImageTransform:
    """Turn whole numbers into floats: value * scale + offset.

    Args:
      data_key: Which array of the element.
      dtype: What it becomes.
      scale: The factor; unless given 1/255, which only fits uint8.
      offset: What is added after scaling.

    Raises:
      TypeError, KeyError: when put on a source: its elements are no dicts, or lack `data_key`.
      ValueError: the array is no uint8, and no scale is given.
    """

    data_key: str = "image"
    dtype: Any = jnp.float32
    scale: float | None = None
    offset: float = 0.0

    def __call__(self, inner: Source) -> Source:
        """Return the elements of `inner`, normalised."""
        spec = _spec_under("NormalizeImageTransform", inner, self.data_key)
        if self.scale is None and spec.dtype != jnp.uint8:
            raise ValueError(
                f"{self.data_key!r} is {spec.dtype}, and 1/255 brings only uint8 to [0, 1]. Say the factor: "
                "NormalizeImageTransform(scale=...)"
            )
        scale = 1.0 / 255.0 if self.scale is None else self.scale

        def normalize(image: Any) -> Any:
            return (image.astype(self.dtype) * scale + self.offset).astype(self.dtype)

        return _with_value(inner, f"NormalizeImageTransform({self.data_key!r})", self.data_key, normalize)


@dataclass(frozen=True)
class FlattenTransform:
    """Make one axis of several.

    Args:
      data_key: Which array of the element.
      start_index: The first axis to be taken in; 1 keeps a batch's rows apart, 0 makes one axis of all.

    Raises:
      TypeError, KeyError: when put on a source: its elements are no dicts, or lack `data_key`.
      ValueError: the array has no such axis.
    """

    data_key: str
    start_index: int = 1

    def __call__(self, inner: Source) -> Source:
        """Return the elements of `inner`, flattened."""
        shape = _spec_under("FlattenTransform", inner, self.data_key).shape
        if not 0 <= self.start_index < len(shape):
            raise ValueError(f"{self.data_key!r} has the shape {list(shape)}, without an axis {self.start_index}")
        flat = (*shape[: self.start_index], math.prod(shape[self.start_index :]))
        stage = f"FlattenTransform({self.data_key!r}, {self.start_index})"
        return _with_value(inner, stage, self.data_key, lambda value: jnp.reshape(value, flat))


@dataclass(frozen=True)
class TimeSeriesBatchTransform:
    """Reshape batches of sequences [B, T] or [B, T, ...].

    Args:
      sequence_key: Which array of the batch.
      mode: "batched" makes [B, T, F] of it; "packed" makes [B * T, F], repeats the mask for every point in time, and
        adds bools [B * T] that say where a sequence starts.
      sequence_start_key: What these are called.

    Raises:
      ValueError: a mode that does not exist; when put on a source: the sequences have no axis of time.
      TypeError, KeyError: when put on a source: its batches are no dicts, or lack `sequence_key`.
    """

    sequence_key: str = "context"
    mode: str = "batched"
    sequence_start_key: str = "sequence_start"

    def __post_init__(self) -> None:
        checked_word("mode", self.mode, "batched", "packed")

    def __call__(self, inner: Source) -> Source:
        """Return the batches of `inner`, reshaped."""
        shape = _spec_under("TimeSeriesBatchTransform", inner, self.sequence_key).shape
        if len(shape) < 2:
            raise ValueError(
                f"{self.sequence_key!r} has the shape {list(shape)}; sequences in batches have at least [batch, time]. "
                "Put TimeSeriesBatchTransform after BatchTransform"
            )
        if self.mode == "packed":
            return _Packed(inner, self, shape)
        batched = (*shape[:2], math.prod(shape[2:]))
        stage = "TimeSeriesBatchTransform('batched')"
        return _with_value(inner, stage, self.sequence_key, lambda value: jnp.reshape(value, batched))


class _Packed(Elementwise):
    def __init__(self, inner: Source, transform: TimeSeriesBatchTransform, shape: tuple[int, ...]) -> None:
        num_points = shape[0] * shape[1]
        self._num_times = shape[1]

        def pack(batch: PyTree, mask: Any) -> PyTree:
            packed = jnp.reshape(batch[transform.sequence_key], (num_points, math.prod(shape[2:])))
            starts = (jnp.arange(num_points) % self._num_times == 0) & jnp.repeat(mask, self._num_times)
            return {**batch, transform.sequence_key: packed, transform.sequence_start_key: starts}

        super().__init__(inner, pack, "TimeSeriesBatchTransform('packed')")
        self.mask_shape = (num_points,)
        self.next_rows = None

    def apply(self, element: PyTree, mask: Any) -> tuple[PyTree, Any]:
        packed, mask = super().apply(element, mask)
        return packed, jnp.repeat(mask, self._num_times)


def _with_value(inner: Source, stage: str, key: str, change: Callable[[Any], Any]) -> Source:
    """Return the elements of `inner`, dicts, with what `change` makes of the value under `key` in its place."""
    return Elementwise(inner, lambda element, _: {**element, key: change(element[key])}, stage)


def _spec_under(owner: str, inner: Source, key: str) -> Any:
    """Return the spec of what the elements of `inner` have under `key`."""
    spec = inner.element_spec()
    if not isinstance(spec, dict):
        raise TypeError(f"{owner} needs elements that are dicts, got {type(spec).__name__}")
    if key not in spec:
        raise KeyError(f"{owner} needs {key!r}; the elements have {', '.join(map(repr, spec))}")
    return spec[key]
