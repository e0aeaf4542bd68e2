"""Meshes: which part of each batch is for this process, by the JAX mesh that the model is laid out on."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyloader.world import World

__all__ = ["world_of_mesh"]


def world_of_mesh(mesh: Any, data_axis_name: str | None = None) -> World:
    """Return the rank of this process among those that a mesh's data axis is spread over.

    Processes whose devices lie at the same places along that axis hold parts of the same model: they get the same rank,
    and so the same batches.

    Args:
      mesh: A jax.sharding.Mesh.
      data_axis_name: The axis along which batches are split; None is "data" where there is one, else the first.

    Raises:
      ValueError: there is no such axis; or processes overlap along it in part, so that none has a share of its own.
    """
    names = list(mesh.axis_names)
    name = data_axis_name or ("data" if "data" in names else names[0])
    if name not in names:
        raise ValueError(f"the mesh has no axis {name!r}; it has {', '.join(map(repr, names))}. Name one of them")
    along = np.moveaxis(np.asarray(mesh.devices), names.index(name), 0)
    places: dict[int, set[int]] = {}
    for place, devices in enumerate(along.reshape(len(along), -1)):
        for device in devices:
            places.setdefault(device.process_index, set()).add(place)
    shares = sorted({tuple(sorted(mine)) for mine in places.values()})
    if sum(map(len, shares)) != len(along):
        raise ValueError(
            f"along the axis {name!r} some processes share a part of what others have, so that batches cannot be split "
            "among them. Lay the mesh out by process, as jax.make_mesh does, or name another data_axis_name"
        )
    mine = places[mesh.local_devices[0].process_index]
    return World(shares.index(tuple(sorted(mine))), len(shares))
