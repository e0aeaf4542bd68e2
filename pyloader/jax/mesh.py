"""Mesh: how the devices are laid out for data-parallel, fully sharded and hybrid training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

__all__ = [
    "HybridMeshShape",
    "MeshConfig",
    "ddp_sharding",
    "fsdp_sharding",
    "infer_mesh_shape",
    "make_ddp_mesh_config",
    "make_fsdp_mesh_config",
    "make_hybrid_mesh_config",
]

MeshShape: TypeAlias = Sequence[int]


@dataclass(frozen=True, slots=True)
class HybridMeshShape:
    """The shape of a mesh over devices of which some are joined more closely than others.

    The mesh has the product of the two along each axis.

    Attributes:
      ici_mesh_shape: Of the devices that are closely joined: those of one slice, or else of one process.
      dcn_mesh_shape: Of those groups, which a slower network joins.
    """

    ici_mesh_shape: MeshShape
    dcn_mesh_shape: MeshShape

    def __post_init__(self) -> None:
        if len(self.ici_mesh_shape) != len(self.dcn_mesh_shape):
            raise ValueError(
                f"ici_mesh_shape={tuple(self.ici_mesh_shape)} and dcn_mesh_shape={tuple(self.dcn_mesh_shape)} must "
                "have as many axes: write 1 where one of them has none"
            )

    def __len__(self) -> int:
        """Return how many axes there are."""
        return len(self.ici_mesh_shape)


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """What a mesh is to be, said before there are devices.

    Attributes:
      mesh_shape: How many devices along each axis; one of them may be -1, for as many as there are.
      mesh_axis_names: A name for each axis.
      batch_axis_names: The axis, or the axes, along which batches are cut.
    """

    mesh_shape: MeshShape | HybridMeshShape
    mesh_axis_names: Sequence[str]
    batch_axis_names: str | Sequence[str] = "data"

    def __post_init__(self) -> None:
        names = ", ".join(map(repr, self.mesh_axis_names))
        if len(self.mesh_shape) != len(self.mesh_axis_names):
            raise ValueError(f"mesh_shape has {len(self.mesh_shape)} axes, and mesh_axis_names has {names}")
        batch_axes = (self.batch_axis_names,) if isinstance(self.batch_axis_names, str) else self.batch_axis_names
        for name in batch_axes:
            if name not in self.mesh_axis_names:
                raise ValueError(f"batch_axis_names has {name!r}, and the mesh has {names}")

    @property
    def hosts(self) -> int:
        """How many processes there are."""
        return int(jax.process_count())

    @property
    def host_id(self) -> int:
        """Which of them this one is, from 0."""
        return int(jax.process_index())

    def create_device_mesh(self, devices: Sequence[jax.Device] | None = None) -> Mesh:
        """Return the mesh of these devices; None is all there are.

        Raises:
          ValueError: their number does not go with the shape.
        """
        devices = jax.devices() if devices is None else list(np.ravel(np.asarray(devices, dtype=object)))
        axis_names = tuple(self.mesh_axis_names)
        if isinstance(self.mesh_shape, HybridMeshShape):
            return Mesh(_hybrid_layout(self.mesh_shape, devices), axis_names)
        shape = infer_mesh_shape(self.mesh_shape, num_devices=len(devices))
        return jax.make_mesh(shape, axis_names, axis_types=(AxisType.Auto,) * len(shape), devices=devices)


def infer_mesh_shape(mesh_shape: MeshShape, *, num_devices: int) -> tuple[int, ...]:
    """Return `mesh_shape` for a number of devices, with the size in place of its -1, where it has one.

    >>> infer_mesh_shape((-1, 2), num_devices=8)
    (4, 2)

    Raises:
      ValueError: the devices cannot be laid out so.
    """
    shape = tuple(mesh_shape)
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) > 1 or any(size < 1 and size != -1 for size in shape):
        raise ValueError(f"mesh_shape must have sizes of at least 1, and at most one -1, got {shape}")
    if num_devices % known or (-1 not in shape and known != num_devices):
        needed = f"a multiple of {known}" if -1 in shape else known
        raise ValueError(f"{num_devices} devices cannot be laid out as {shape}, which needs {needed}")
    return tuple(num_devices // known if size == -1 else size for size in shape)


def _hybrid_layout(shape: HybridMeshShape, devices: Sequence[Any]) -> np.ndarray:
    """Return the devices as the mesh has them: groups along dcn_mesh_shape, the devices of each along the other."""
    num_slices = len({getattr(device, "slice_index", None) for device in devices})
    num_groups = num_slices if num_slices > 1 else len({device.process_index for device in devices})
    layout: np.ndarray = mesh_utils.create_hybrid_device_mesh(
        infer_mesh_shape(shape.ici_mesh_shape, num_devices=len(devices) // num_groups),
        infer_mesh_shape(shape.dcn_mesh_shape, num_devices=num_groups),
        devices,
        process_is_granule=num_slices == 1,
    )
    return layout


def make_ddp_mesh_config(
    mesh_axis_names: Sequence[str] = ("data",), batch_axis_names: str | Sequence[str] = "data"
) -> MeshConfig:
    """Return the mesh for data-parallel training: all devices along the first axis, each with the whole model."""
    shape = (-1, *[1] * (len(mesh_axis_names) - 1))
    return MeshConfig(mesh_shape=shape, mesh_axis_names=mesh_axis_names, batch_axis_names=batch_axis_names)


def make_fsdp_mesh_config(
    mesh_axis_names: Sequence[str] = ("data", "model"), batch_axis_names: str | Sequence[str] | None = None
) -> MeshConfig:
    """Return the mesh for fully sharded training: each process has a whole model, cut among its devices.

    Where devices form slices (as TPUs do) and there are several, it is each slice.

    Args:
      mesh_axis_names: The first axis is that of the processes, the last that of the devices of each.
      batch_axis_names: The axes along which batches are cut; None is all: each device has rows of its own.
    """
    ones = [1] * (len(mesh_axis_names) - 1)
    return make_hybrid_mesh_config((*ones, -1), (-1, *ones), mesh_axis_names, batch_axis_names)


def make_hybrid_mesh_config(
    ici_mesh_shape: MeshShape = (1, -1),
    dcn_mesh_shape: MeshShape = (-1, 1),
    mesh_axis_names: Sequence[str] = ("data", "model"),
    batch_axis_names: str | Sequence[str] | None = None,
) -> MeshConfig:
    """Return the mesh over slices (or processes) that a slower network joins: see `HybridMeshShape`.

    With the defaults each slice has a whole model, cut among its devices.

    Args:
      ici_mesh_shape: Of the devices of one slice; one size may be -1.
      dcn_mesh_shape: Of the slices; one size may be -1.
      mesh_axis_names: A name for each axis.
      batch_axis_names: The axes along which batches are cut; None is all.
    """
    return MeshConfig(
        mesh_shape=HybridMeshShape(ici_mesh_shape=ici_mesh_shape, dcn_mesh_shape=dcn_mesh_shape),
        mesh_axis_names=mesh_axis_names,
        batch_axis_names=mesh_axis_names if batch_axis_names is None else batch_axis_names,
    )


def ddp_sharding() -> tuple[Mesh, tuple[str, ...]]:
    """Return the mesh of `make_ddp_mesh_config` over all devices, and its axis names."""
    mesh = make_ddp_mesh_config().create_device_mesh()
    return mesh, tuple(mesh.axis_names)


def fsdp_sharding() -> tuple[Mesh, tuple[str, ...]]:
    """Return the mesh of `make_fsdp_mesh_config` over all devices, and its axis names: data first, then model."""
    mesh = make_fsdp_mesh_config().create_device_mesh()
    return mesh, tuple(mesh.axis_names)
