"""Sharding over a mesh: each process loads its part of a batch, and the parts make one global array without moving.

What the processes load follows from where the mesh has their devices along its data axes: those that stand at the same
places (they hold parts of one model, say) are replicas, and load the same.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pyloader.jax.placing import place_batch
from pyloader.world import World

__all__ = ["DataPartitionType", "MeshShard", "global_to_host_array", "host_to_global_device_array"]


class MeshShard(World):
    """The part of every batch that this process loads, for the `world=` of a DataLoader.

    Its `rank` and `size` count the parts, of which there are fewer than processes where some are replicas.

    Args:
      mesh: The devices, of one process or several.
      data_axis_name: The axis of the mesh, or the axes, along which a batch is cut.
      num_streams: As `World` has it.

    Raises:
      ValueError: the mesh has no such axis or none of this process's devices, or its processes overlap in part.
    """

    __slots__ = ("data_axis_names", "mesh")

    mesh: Mesh
    data_axis_names: tuple[str, ...]

    def __init__(
        self, mesh: Mesh, data_axis_name: str | Sequence[str] = "data", *, num_streams: int | None = None
    ) -> None:
        share = World.of_mesh(mesh, data_axis_name)
        super().__init__(share.rank, share.size, num_streams)
        names = (data_axis_name,) if isinstance(data_axis_name, str) else tuple(data_axis_name)
        object.__setattr__(self, "mesh", mesh)
        object.__setattr__(self, "data_axis_names", names)

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.data_axis_names))
        return f"MeshShard(rank={self.rank}, size={self.size}, mesh={dict(self.mesh.shape)}, data_axis_name={names})"

    @property
    def sharding(self) -> NamedSharding:
        """How global batches lie on the mesh: cut along the data axes, replicated along all others."""
        return self.named_sharding(self.data_axis_names)

    def named_sharding(self, *axis_names: str | tuple[str, ...] | None) -> NamedSharding:
        """Return the sharding of the mesh that cuts an array's dimensions along these axes; None cuts it along none."""
        return NamedSharding(self.mesh, PartitionSpec(*axis_names))

    def distribute_global_batch(self, local_batch: Any) -> Any:
        """Return the batch over all processes; each gives the part that it loaded, and keeps it.

        Args:
          local_batch: A pytree; leaves that are no arrays stay as they are, as `place_batch` says.

        Returns:
          The same pytree.  An array of shape [rows, ...] has become a jax.Array of shape [rows * size, ...], cut as
          `sharding` says.  A jitted function can be called with it, by all processes together.

        Raises:
          TypeError, ValueError: as `place_batch` does: the rows cannot be cut evenly among this process's devices.
        """
        return place_batch(local_batch, self.sharding)


class DataPartitionType(enum.Enum):
    """How host arrays are laid out over a mesh."""

    FULL = "full"
    """Rows are cut along all axes: each device has its own."""
    REPLICATED = "replicated"
    """Every device has all rows."""


def host_to_global_device_array(
    host_arrays: Any, *, mesh: Mesh | None = None, partition: DataPartitionType = DataPartitionType.FULL
) -> Any:
    """Return the global arrays of which each process has a part on its host.

    Args:
      host_arrays: A pytree, with the rows of this process; with REPLICATED the same on every process.
      mesh: The devices; None takes the mesh of `jax.set_mesh`.
      partition: FULL, or REPLICATED.

    Returns:
      The same pytree of jax.Arrays; with FULL an array of shape [rows, ...] is one of [rows * processes, ...].

    Raises:
      TypeError, ValueError: as `place_batch` does: the rows cannot be cut evenly; or there is no mesh.
    """
    if mesh is None and hasattr(jax.sharding, "get_mesh"):  # JAX up to 0.8 does not tell
        mesh = jax.sharding.get_mesh()
    if mesh is None or mesh.empty:
        raise ValueError("there is no mesh: give mesh=, or call it within `with jax.set_mesh(mesh):`")
    is_full = DataPartitionType(partition) is DataPartitionType.FULL
    spec = PartitionSpec(mesh.axis_names) if is_full else PartitionSpec()
    return place_batch(host_arrays, NamedSharding(mesh, spec))


def global_to_host_array(global_arrays: Any) -> Any:
    """Return this process's part of global arrays, as NumPy arrays: what `distribute_global_batch` was given.

    What devices hold in common (along replicated axes) is there once.

    Args:
      global_arrays: A pytree; leaves that are no jax.Array stay as they are.

    Raises:
      ValueError: this process's part is no whole block of rows and columns.
    """
    return jax.tree_util.tree_map(lambda leaf: _part_here(leaf) if isinstance(leaf, jax.Array) else leaf, global_arrays)


def _part_here(array: Any) -> np.ndarray:
    """Return the part of a global array that lies on this process's devices, put together."""
    blocks: dict[tuple[int, ...], Any] = {}  # where one begins -> its values; replicas begin at the same place
    for shard in array.addressable_shards:
        blocks.setdefault(tuple(part.start or 0 for part in shard.index), shard.data)
    starts = [sorted(set(along)) for along in zip(*blocks, strict=True)]
    block_shape = array.sharding.shard_shape(array.shape)
    if len(blocks) != np.prod([len(along) for along in starts], dtype=int):
        raise ValueError(f"this process's part of an array of shape {array.shape} is no whole block: {array.sharding}")
    part = np.empty([len(along) * size for along, size in zip(starts, block_shape, strict=True)], array.dtype)
    for start, values in blocks.items():
        place = [along.index(begin) * size for along, begin, size in zip(starts, start, block_shape, strict=True)]
        part[tuple(slice(begin, begin + size) for begin, size in zip(place, block_shape, strict=True))] = values
    return part
