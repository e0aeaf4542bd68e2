"""The loop on JAX's side: batches placed on devices, and shared out over a mesh.

placing    batches of a loader -> arrays on devices, ahead of the loop
sharding   each process loads its part; the parts make one global array
mesh       how the devices are laid out: data parallel, fully sharded, hybrid
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyloader.optional import import_optional

if TYPE_CHECKING:
    from pyloader.jax.mesh import (
        HybridMeshShape,
        MeshConfig,
        ddp_sharding,
        fsdp_sharding,
        infer_mesh_shape,
        make_ddp_mesh_config,
        make_fsdp_mesh_config,
        make_hybrid_mesh_config,
    )
    from pyloader.jax.placing import DevicePrefetch, place_batch, prefetch_to_device
    from pyloader.jax.sharding import (
        DataPartitionType,
        MeshShard,
        global_to_host_array,
        host_to_global_device_array,
    )

import_optional("jax", wanted_by="pyloader.jax")

# Where each name comes from: imported when it is first used.
_HOMES = {
    "DataPartitionType": "sharding",
    "DevicePrefetch": "placing",
    "HybridMeshShape": "mesh",
    "MeshConfig": "mesh",
    "MeshShard": "sharding",
    "ddp_sharding": "mesh",
    "fsdp_sharding": "mesh",
    "global_to_host_array": "sharding",
    "host_to_global_device_array": "sharding",
    "infer_mesh_shape": "mesh",
    "make_ddp_mesh_config": "mesh",
    "make_fsdp_mesh_config": "mesh",
    "make_hybrid_mesh_config": "mesh",
    "place_batch": "placing",
    "prefetch_to_device": "placing",
}

__all__ = [
    "DataPartitionType",
    "DevicePrefetch",
    "HybridMeshShape",
    "MeshConfig",
    "MeshShard",
    "ddp_sharding",
    "fsdp_sharding",
    "global_to_host_array",
    "host_to_global_device_array",
    "infer_mesh_shape",
    "make_ddp_mesh_config",
    "make_fsdp_mesh_config",
    "make_hybrid_mesh_config",
    "place_batch",
    "prefetch_to_device",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyloader.jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pyloader.jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
