"""ChunkSource: the batches of a pyloader.DataLoader, which reads chunks ahead, inside jit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyloader.dataloader import DataLoader
from pyloader.jax.host import HostCall, as_dtype
from pyloader.jax.source import PyTree, Source, with_rows

__all__ = ["ChunkSource", "stacked"]

# What scan_epoch takes in one call: enough for the call to cost little, and little beside a chunk.
_MOST_STEPS = 64
_BLOCK_BYTES = 4 * 2**20


class ChunkSource(Source[dict[str, Any]]):
    """The batches of a chunk loader, for compiled code: datasets larger than memory.

    Threads of the loader read, shuffle and encode ahead while the step computes; a step takes the batch that is
    ready.  The order is the loader's own: its seed and options decide it, not the key of `init_state`.  The state is
    the number of batches received; a step that asks for another than the next one is answered too, at the price of
    resuming there.

    The loader belongs to this source from now on.  Give it num_epochs=None: it then reads on across an epoch's end.

    Args:
      loader: Its chunks have a manifest, its batches are dicts of arrays of numbers, all of one shape; with
        last_batch="pad" its "mask" becomes the mask.

    Attributes:
      loader: The chunk loader.

    Raises:
      TypeError: `loader` is no pyloader.DataLoader, or its batches are something else.
      ValueError: its last batch is short.
      DataDirError: its chunks' counts are unknown.
    """

    def __init__(self, loader: DataLoader) -> None:
        if not isinstance(loader, DataLoader):
            raise TypeError(f"ChunkSource needs a pyloader.DataLoader, got a {type(loader).__name__}")
        self._start = loader.steps_done
        loader.skip(0)  # raises where the counts are unknown
        last, first = (len(loader.locate(step)) for step in (int(loader.steps_per_epoch or 1) - 1, 0))
        if last != first:
            raise ValueError(
                f"ChunkSource needs batches of one shape, and an epoch's last one has {last:,} rows, not {first:,}. "
                'Make it DataLoader(..., last_batch="pad"), or "drop", or "wrap"'
            )
        self.loader = loader
        self.steps_per_epoch = int(loader.steps_per_epoch or 0)
        batch = loader.peek()
        self._spec, self._has_mask = _spec_of(batch)
        self.rows_per_element = len(next(iter(batch.values())))
        self.mask_shape = (self.rows_per_element,)
        batch_bytes = sum(column.nbytes for column in batch.values())
        self.block_steps = max(1, min(_MOST_STEPS, _BLOCK_BYTES // batch_bytes))
        self._call, self._call_for_block = HostCall(self._batch_at), HostCall(self._block_at)
        self.host_calls = [self._call, self._call_for_block]

    def __repr__(self) -> str:
        return f"ChunkSource({self.loader!r})"

    def element_spec(self) -> PyTree:
        """Return the shapes and dtypes of a batch, apart from its mask."""
        return self._spec

    def init_state(self, _key: Any = None) -> dict[str, Any]:
        """Return the state where the loader stood when it was given: {"step": uint32}.  The key changes nothing."""
        return {"step": jnp.uint32(self._start)}

    def next(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next batch, its mask, and the state after it."""
        mask_spec = jax.ShapeDtypeStruct(self.mask_shape, jnp.bool_)
        # The host answers with the state: the next call cannot begin before this one has ended.
        answer_spec = (self._spec, mask_spec, jax.ShapeDtypeStruct((), jnp.uint32))
        batch, mask, step = self._call(answer_spec, state["step"])
        return batch, mask, {"step": step}

    def next_on_host(self, state: dict[str, Any]) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the same as `next`, as NumPy arrays, without compiled code in between."""
        batch, mask, step = self._batch_at(state["step"])
        return batch, mask, {"step": step}

    def next_block(self, state: dict[str, Any], count: int) -> tuple[PyTree, Any, dict[str, Any]]:
        """Return the next `count` batches, stacked, their masks, and the state after them."""
        mask_spec = jax.ShapeDtypeStruct((count, *self.mask_shape), jnp.bool_)
        answer_spec = (with_rows(self._spec, count), mask_spec, jax.ShapeDtypeStruct((), jnp.uint32))
        batches, masks, step = self._call_for_block(answer_spec, state["step"], np.uint32(count))
        return batches, masks, {"step": step}

    def order_of(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the loader's own state after the batches that `state` has behind it."""
        self._go_to(int(state["step"]))
        return self.loader.state_dict()

    def load_order(self, saved: dict[str, Any], _state: dict[str, Any]) -> None:
        """Let the loader go on from its own state.

        Raises:
          StateError: it was saved with other chunks, or another order.
        """
        self.loader.load_state_dict(saved)

    def close(self) -> None:
        """Close the loader."""
        self.loader.close()

    def _batch_at(self, step: np.ndarray) -> Any:
        self._go_to(int(step))
        return *self._as_announced(self._next_batch(), ()), np.array(self.loader.steps_done, np.uint32)

    def _block_at(self, step: np.ndarray, count: np.ndarray) -> Any:
        self._go_to(int(step))
        batches = [self._next_batch() for _ in range(int(count))]
        block = {name: stacked([batch[name] for batch in batches]) for name in batches[0]}
        return *self._as_announced(block, (len(batches),)), np.array(self.loader.steps_done, np.uint32)

    def _next_batch(self) -> dict[str, np.ndarray]:
        try:
            batch: dict[str, np.ndarray] = next(self.loader)
        except StopIteration:  # num_epochs are over; a new `for` begins the next ones
            batch = next(iter(self.loader))
            self.loader._turn.end_for()  # JAX asks in one thread after the other
        return batch

    def _as_announced(self, batch: dict[str, np.ndarray], axes: tuple[int, ...]) -> tuple[PyTree, np.ndarray]:
        """Return the columns in JAX's dtypes, and the mask."""
        mask = batch["mask"] if self._has_mask else np.ones((*axes, *self.mask_shape), bool)
        return {name: as_dtype(batch[name], like.dtype) for name, like in self._spec.items()}, mask

    def _go_to(self, step: int) -> None:
        if self.loader.steps_done != step:
            self.loader.reset()
            self.loader.skip(step)


def _spec_of(batch: Any) -> tuple[PyTree, bool]:
    if not isinstance(batch, dict):
        raise TypeError(f"ChunkSource needs batches that are dicts of arrays, got a {type(batch).__name__}")
    wrong = [
        name for name, column in batch.items() if not isinstance(column, np.ndarray) or column.dtype.kind in "OUSMm"
    ]
    if wrong:
        raise TypeError(
            f"ChunkSource needs arrays of numbers, and {wrong[0]!r} is none. Make numbers of it in batch_encode, or "
            "leave it out"
        )
    dtypes = {name: jnp.asarray(column[:0]).dtype for name, column in batch.items()}
    spec = {name: jax.ShapeDtypeStruct(column.shape, dtypes[name]) for name, column in batch.items() if name != "mask"}
    return spec, "mask" in batch


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of one shape and dtype as one of shape [n, ...]; to be read, not written to.

    The batches of a chunk loader often are neighbouring slices of one array, and then this is a view of that.
    """
    first = arrays[0]
    if first.base is None or not first.flags.c_contiguous or not _are_neighbours(arrays):
        return np.stack(arrays)
    # The view holds `first`, and with it the array that all are slices of.
    shape, strides = (len(arrays), *first.shape), (first.nbytes, *first.strides)
    return np.lib.stride_tricks.as_strided(first, shape, strides, writeable=False)


def _are_neighbours(arrays: Sequence[np.ndarray]) -> bool:
    first = arrays[0]
    start = first.__array_interface__["data"][0]
    return all(
        array.base is first.base
        and array.strides == first.strides
        and array.__array_interface__["data"][0] == start + place * first.nbytes
        for place, array in enumerate(arrays)
    )
