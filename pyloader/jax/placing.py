"""Placing: the batches of a loader become arrays on devices, some of them ahead of the loop.

No host memory is used again while a device may still read it.  JAX holds on to the NumPy array that a transfer reads,
or that an array on the CPU shares its memory with, and pyloader only recycles memory without a reference to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np

from pyloader.options import checked_integer
from pyloader.run.adapters import LoaderAdapter

__all__ = ["DevicePrefetch", "place_batch", "prefetch_to_device"]

Target: TypeAlias = jax.Device | jax.sharding.Sharding | None
Targets: TypeAlias = Target | Callable[[Any], Target] | Any  # or a pytree of them


class DevicePrefetch(LoaderAdapter[Any]):
    """A loader whose batches are on devices; what `prefetch_to_device` returns, with the same arguments."""

    def __init__(self, loader: Any, size: int = 2, sharding: Targets = None) -> None:
        checked_integer("size", size, at_least=1)
        super().__init__(loader, partial(place_batch, sharding=sharding), size=size)


def prefetch_to_device(loader: Any, size: int = 2, sharding: Targets = None) -> DevicePrefetch:
    """Return the batches of `loader` with their arrays on devices, transferred while the loop works on those before.

    Ask it in place of the loader: `state_dict`, `load_state_dict`, `steps_done`, `epochs_done`, `peek`, `stats`,
    `reset` and `close` are those of the batch last handed to the loop.

    Args:
      loader: A DataLoader, or a wrapper of one.
      size: How many batches are on the devices before the loop gets the first of them: 2 is double buffering.
      sharding: Where arrays go, as `place_batch` has it.

    Raises:
      TypeError, ValueError: an argument that makes no sense.  What `place_batch` raises comes with its batch, after the
        good ones before it.
    """
    return DevicePrefetch(loader, size, sharding)


def place_batch(batch: Any, sharding: Targets = None) -> Any:
    """Return `batch` with its arrays on devices; transfers may go on after the return, as JAX's do.

    Arrays, in dicts, lists, tuples or any other pytree, become `jax.Array`s of the dtype that JAX has for theirs
    (float32 for float64, and so on, unless jax_enable_x64 is set).  All else stays as it is on the host: lists of
    strings, numbers, None.

    Args:
      batch: A pytree, such as a dict, name -> array.
      sharding: A device or a Sharding for all arrays; or a function that is called with each array and returns one; or
        a dict (a pytree) of them, shaped like the batch or its upper part.  None is JAX's default device.  With a
        Sharding over the devices of several processes each process gives its own rows, and gets the global array.

    Raises:
      TypeError: an array of strings, objects or dates, which no device can hold; or a place that is none.
      ValueError: an array that `sharding` cannot cut evenly, an integer that is too large for JAX's dtype, or a dict
        `sharding` that leaves out a name of the batch.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(batch, is_leaf=_is_host_list)
    targets = _targets(sharding, batch, [leaf for _, leaf in leaves])
    placed = [
        _placed(path, leaf, target) if _is_array(leaf) else leaf
        for (path, leaf), target in zip(leaves, targets, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, placed)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array)


def _is_host_list(node: Any) -> bool:
    """Tell whether a node is a column that stays on the host, and not a list of arrays."""
    return isinstance(node, list) and bool(node) and isinstance(node[0], str | bytes | int | float)


def _targets(sharding: Targets, batch: Any, leaves: Sequence[Any]) -> list[Target]:
    """Return where each leaf goes, should it be an array."""
    if sharding is None or isinstance(sharding, jax.Device | jax.sharding.Sharding):
        return [sharding] * len(leaves)
    if callable(sharding):
        return [sharding(leaf) if _is_array(leaf) else None for leaf in leaves]
    targets: list[Target] = []

    def add(target: Target, node: Any) -> None:
        targets.extend([target] * len(jax.tree_util.tree_leaves(node, is_leaf=_is_host_list)))

    try:
        jax.tree_util.tree_map(add, sharding, batch, is_leaf=lambda node: node is None)
    except ValueError as exc:
        raise ValueError(
            f"sharding is not shaped like the batch: {_difference(sharding, batch) or exc}. Give an entry for each of "
            "its names (None is JAX's default device), or one Sharding for all"
        ) from exc
    return targets


def _difference(sharding: Any, batch: Any) -> str:
    if not isinstance(sharding, dict) or not isinstance(batch, dict):
        return ""
    return f"it has {', '.join(map(repr, sharding))}, and the batch has {', '.join(map(repr, batch))}"


def _placed(path: Any, value: Any, target: Target) -> Any:
    name = f"batch{jax.tree_util.keystr(path)}"
    if not isinstance(target, jax.Device | jax.sharding.Sharding | None):
        raise TypeError(
            f"{name} cannot go to {target!r}: sharding takes a jax.Device, or a Sharding, which a MeshShard has as its "
            "`sharding`"
        )
    if not isinstance(value, jax.Array):
        _check_dtype(name, value)
    try:
        if getattr(target, "is_fully_addressable", True):
            return jax.device_put(value, target)
        return jax.make_array_from_process_local_data(target, value)
    except ValueError as exc:
        raise ValueError(
            f"{name} of shape {value.shape} cannot be cut evenly as {target} says ({exc}). Make batch_size a multiple "
            'of the number of parts; where it is only an epoch\'s last batch that is short: last_batch="drop" or "pad"'
        ) from exc


def _check_dtype(name: str, value: Any) -> None:
    """Raise unless JAX has a dtype for the array, and all its integers fit in that."""
    if value.dtype.kind in "OSUVMm" and not jax.numpy.issubdtype(value.dtype, np.number):
        raise TypeError(
            f"{name} is an array of dtype {value.dtype}, which no device can hold. Make numbers of it in batch_encode, "
            "or a list, which stays on the host"
        )
    if value.dtype.kind in "iu" and value.dtype.itemsize == 8 and value.size:
        limits = np.iinfo(jax.dtypes.canonicalize_dtype(value.dtype))
        smallest, largest = int(value.min()), int(value.max())
        if smallest < limits.min or largest > limits.max:
            raise ValueError(
                f"{name} holds {largest if largest > limits.max else smallest}, and JAX makes {limits.dtype} of "
                f'{value.dtype}, which ends before. Write jax.config.update("jax_enable_x64", True), or leave it out '
                "of the batch"
            )
