"""TimeSeriesBatchTransform: batches of sequences in the shape that a sequence model wants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from pyloader.jax.source import PyTree, Source
from pyloader.jax.transforms.elementwise import Elementwise, mapping_with

__all__ = ["TimeSeriesBatchTransform"]


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
