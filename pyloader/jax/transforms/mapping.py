"""MapTransform and its kin: what a pure function makes of each element, such as batches of sequences reshaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from pyloader.jax.source import PyTree, Source
from pyloader.jax.transforms.elementwise import Elementwise, mapping_with

__all__ = [
    "FlattenTransform",
    "MapTransform",
    "NormalizeImageTransform",
    "RenameTransform",
    "TimeSeriesBatchTransform",
]


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
        renames, spec = dict(self.renames), inner.element_spec()
        for name in renames:
            mapping_with("RenameTransform", spec, name)
        names = [renames.get(name, name) for name in spec]
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
        spec = mapping_with("NormalizeImageTransform", inner.element_spec(), self.data_key)
        if self.scale is None and spec.dtype != jnp.uint8:
            raise ValueError(
                f"{self.data_key!r} is {spec.dtype}, and 1/255 brings only uint8 to [0, 1]. Say the factor: "
                "NormalizeImageTransform(scale=...)"
            )
        scale = 1.0 / 255.0 if self.scale is None else self.scale

        def normalize(element: PyTree, _: Any) -> PyTree:
            image = element[self.data_key].astype(self.dtype) * scale + self.offset
            return {**element, self.data_key: image.astype(self.dtype)}

        return Elementwise(inner, normalize, f"NormalizeImageTransform({self.data_key!r})")


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
        shape = mapping_with("FlattenTransform", inner.element_spec(), self.data_key).shape
        if not 0 <= self.start_index < len(shape):
            raise ValueError(f"{self.data_key!r} has the shape {list(shape)}, without an axis {self.start_index}")
        flat = (*shape[: self.start_index], math.prod(shape[self.start_index :]))

        def flatten(element: PyTree, _: Any) -> PyTree:
            return {**element, self.data_key: jnp.reshape(element[self.data_key], flat)}

        return Elementwise(inner, flatten, f"FlattenTransform({self.data_key!r}, {self.start_index})")


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
        if self.mode not in ("batched", "packed"):
            raise ValueError(f'mode must be "batched" or "packed", not {self.mode!r}')

    def __call__(self, inner: Source) -> Source:
        """Return the batches of `inner`, reshaped."""
        shape = mapping_with("TimeSeriesBatchTransform", inner.element_spec(), self.sequence_key).shape
        if len(shape) < 2:
            raise ValueError(
                f"{self.sequence_key!r} has the shape {list(shape)}; sequences in batches have at least [batch, time]. "
                "Put TimeSeriesBatchTransform after BatchTransform"
            )
        if self.mode == "packed":
            return _Packed(inner, self, shape)
        batched = (*shape[:2], math.prod(shape[2:]))

        def reshape(batch: PyTree, _: Any) -> PyTree:
            return {**batch, self.sequence_key: jnp.reshape(batch[self.sequence_key], batched)}

        return Elementwise(inner, reshape, "TimeSeriesBatchTransform('batched')")


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
