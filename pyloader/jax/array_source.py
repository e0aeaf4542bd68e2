"""ArraySource: samples from arrays in memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyloader.jax.epochs import take_places
from pyloader.jax.host import as_dtype
from pyloader.jax.order import OrderedSource, places_in_order
from pyloader.jax.source import PyTree

__all__ = ["ArraySampleSource", "ArraySource"]


class ArraySource(OrderedSource):
    """Samples from a tree of arrays in memory; each epoch in another order.

    The order is a function of the key, the epoch and the position, which are all that the state holds.

    Args:
      data: A tree (a dict, say) of arrays; row i of every array is sample i.
      ordering: "shuffle", or "sequential".

    Attributes:
      num_samples: How many samples there are; steps_per_epoch is the same.

    Raises:
      ValueError: no arrays, no rows, arrays of different lengths, more than 2^31 - 1 rows, an ordering that does not
        exist, or 64-bit integers that JAX would cut to 32 bits.
    """

    def __init__(self, data: PyTree, ordering: str = "shuffle") -> None:
        leaves = jax.tree.leaves(data)
        if not leaves:
            raise ValueError("ArraySource needs at least one array, got a tree without any")
        lengths = {np.shape(leaf)[0] if np.ndim(leaf) else -1 for leaf in leaves}
        if len(lengths) > 1 or -1 in lengths:
            shapes = ", ".join(str(list(np.shape(leaf))) for leaf in leaves)
            raise ValueError(f"ArraySource needs arrays with equally many rows, got the shapes {shapes}")
        super().__init__(lengths.pop(), ordering)
        self.data = jax.tree.map(_as_jax, data)

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of one sample."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), self.data)

    def next_rows(self, state: dict[str, Any], count: int, last_batch: str) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next `count` samples, which of them are real, and the state after them."""
        taking = take_places(
            jnp,
            jnp.asarray(state["epoch"])[None],
            jnp.asarray(state["position"])[None],
            count=count,
            length=self.num_samples,
            last_batch=last_batch,
        )
        words = jnp.asarray(state["key"])
        indices = places_in_order(words, taking.epochs, taking.places, self.num_samples, self.ordering)
        indices = indices.astype(jnp.int32)

        def rows_of(leaf: Any) -> Any:
            rows = jnp.take(leaf, indices, axis=0, mode="clip")
            if last_batch != "pad":
                return rows
            return jnp.where(taking.mask.reshape(-1, *[1] * (rows.ndim - 1)), rows, jnp.zeros((), rows.dtype))

        rows = jax.tree.map(rows_of, self.data)
        return rows, taking.mask, {"key": words, "epoch": taking.epoch[0], "position": taking.position[0]}


ArraySampleSource = ArraySource


def _as_jax(leaf: Any) -> Any:
    array = jnp.asarray(leaf)
    as_dtype(np.asarray(leaf) if isinstance(leaf, list | np.ndarray) else array, array.dtype)  # what does not fit
    return array
