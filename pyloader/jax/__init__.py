"""JAX: pipelines inside jit, and batches of any loader on devices.

source       samples by pure functions of a state: from arrays, from files, from chunks, from an environment
transforms   batches of them, and what is done with those
DataLoader   the whole as next(state), scan_epoch and a loop
datasets     small well-known datasets to try things on

placing      batches of a loader -> arrays on devices, ahead of the loop
sharding     each process loads its part; the parts make one global array
mesh         how the devices are laid out: data parallel, fully sharded, hybrid
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyloader.errors import import_optional

if TYPE_CHECKING:
    from pyloader.jax.array_source import ArraySampleSource, ArraySource
    from pyloader.jax.chunk_source import ChunkSource
    from pyloader.jax.dataloader import DataLoader, LoaderIterator
    from pyloader.jax.datasets import (
        CIFAR10Dataset,
        CIFAR100Dataset,
        DailyMinTemperaturesDataset,
        EMNISTDataset,
        FashionMNISTDataset,
        KMNISTDataset,
        MNISTDataset,
        SunspotsDataset,
    )
    from pyloader.jax.disk_source import DiskSampleSource, DiskSource
    from pyloader.jax.gymnax_source import GymnaxSource, set_loader_policy_state, set_source_policy_state
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
    from pyloader.jax.source import Source, SourceTransform
    from pyloader.jax.state import LoaderState
    from pyloader.jax.transforms import (
        BatchTransform,
        BufferTransform,
        DevicePutTransform,
        FlattenTransform,
        HostCallbackTransform,
        MapTransform,
        NormalizeImageTransform,
        RenameTransform,
        TimeSeriesBatchTransform,
    )

import_optional("jax", wanted_by="pyloader.jax")

# Where each name comes from: imported when it is first used.
_NAMES = {
    "array_source": "ArraySampleSource ArraySource",
    "chunk_source": "ChunkSource",
    "dataloader": "DataLoader LoaderIterator",
    "datasets": (
        "CIFAR100Dataset CIFAR10Dataset DailyMinTemperaturesDataset EMNISTDataset FashionMNISTDataset "
        "KMNISTDataset MNISTDataset SunspotsDataset"
    ),
    "disk_source": "DiskSampleSource DiskSource",
    "gymnax_source": "GymnaxSource set_loader_policy_state set_source_policy_state",
    "mesh": (
        "HybridMeshShape MeshConfig ddp_sharding fsdp_sharding infer_mesh_shape make_ddp_mesh_config "
        "make_fsdp_mesh_config make_hybrid_mesh_config"
    ),
    "placing": "DevicePrefetch place_batch prefetch_to_device",
    "sharding": "DataPartitionType MeshShard global_to_host_array host_to_global_device_array",
    "source": "Source SourceTransform",
    "state": "LoaderState",
    "transforms": (
        "BatchTransform BufferTransform DevicePutTransform FlattenTransform HostCallbackTransform "
        "MapTransform NormalizeImageTransform RenameTransform TimeSeriesBatchTransform"
    ),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = [
    "ArraySampleSource",
    "ArraySource",
    "BatchTransform",
    "BufferTransform",
    "CIFAR10Dataset",
    "CIFAR100Dataset",
    "ChunkSource",
    "DailyMinTemperaturesDataset",
    "DataLoader",
    "DataPartitionType",
    "DevicePrefetch",
    "DevicePutTransform",
    "DiskSampleSource",
    "DiskSource",
    "EMNISTDataset",
    "FashionMNISTDataset",
    "FlattenTransform",
    "GymnaxSource",
    "HostCallbackTransform",
    "HybridMeshShape",
    "KMNISTDataset",
    "LoaderIterator",
    "LoaderState",
    "MNISTDataset",
    "MapTransform",
    "MeshConfig",
    "MeshShard",
    "NormalizeImageTransform",
    "RenameTransform",
    "Source",
    "SourceTransform",
    "SunspotsDataset",
    "TimeSeriesBatchTransform",
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
    "set_loader_policy_state",
    "set_source_policy_state",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyloader.jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pyloader.jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
