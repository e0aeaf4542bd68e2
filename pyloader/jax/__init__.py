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

from typing import TYPE_CHECKING

from pyloader.errors import import_optional
from pyloader.lazy import lazy_names

if TYPE_CHECKING:  # which is where type checkers see the names
    from pyloader.jax.array_source import ArraySampleSource as ArraySampleSource
    from pyloader.jax.array_source import ArraySource as ArraySource
    from pyloader.jax.chunk_source import ChunkSource as ChunkSource
    from pyloader.jax.dataloader import DataLoader as DataLoader
    from pyloader.jax.dataloader import LoaderIterator as LoaderIterator
    from pyloader.jax.datasets import CIFAR10Dataset as CIFAR10Dataset
    from pyloader.jax.datasets import CIFAR100Dataset as CIFAR100Dataset
    from pyloader.jax.datasets import DailyMinTemperaturesDataset as DailyMinTemperaturesDataset
    from pyloader.jax.datasets import EMNISTDataset as EMNISTDataset
    from pyloader.jax.datasets import FashionMNISTDataset as FashionMNISTDataset
    from pyloader.jax.datasets import KMNISTDataset as KMNISTDataset
    from pyloader.jax.datasets import MNISTDataset as MNISTDataset
    from pyloader.jax.datasets import SunspotsDataset as SunspotsDataset
    from pyloader.jax.disk_source import DiskSampleSource as DiskSampleSource
    from pyloader.jax.disk_source import DiskSource as DiskSource
    from pyloader.jax.gymnax_source import GymnaxSource as GymnaxSource
    from pyloader.jax.gymnax_source import set_loader_policy_state as set_loader_policy_state
    from pyloader.jax.gymnax_source import set_source_policy_state as set_source_policy_state
    from pyloader.jax.mesh import HybridMeshShape as HybridMeshShape
    from pyloader.jax.mesh import MeshConfig as MeshConfig
    from pyloader.jax.mesh import ddp_sharding as ddp_sharding
    from pyloader.jax.mesh import fsdp_sharding as fsdp_sharding
    from pyloader.jax.mesh import infer_mesh_shape as infer_mesh_shape
    from pyloader.jax.mesh import make_ddp_mesh_config as make_ddp_mesh_config
    from pyloader.jax.mesh import make_fsdp_mesh_config as make_fsdp_mesh_config
    from pyloader.jax.mesh import make_hybrid_mesh_config as make_hybrid_mesh_config
    from pyloader.jax.placing import DevicePrefetch as DevicePrefetch
    from pyloader.jax.placing import place_batch as place_batch
    from pyloader.jax.placing import prefetch_to_device as prefetch_to_device
    from pyloader.jax.sharding import DataPartitionType as DataPartitionType
    from pyloader.jax.sharding import MeshShard as MeshShard
    from pyloader.jax.sharding import global_to_host_array as global_to_host_array
    from pyloader.jax.sharding import host_to_global_device_array as host_to_global_device_array
    from pyloader.jax.source import Source as Source
    from pyloader.jax.source import SourceTransform as SourceTransform
    from pyloader.jax.state import LoaderState as LoaderState
    from pyloader.jax.transforms import BatchTransform as BatchTransform
    from pyloader.jax.transforms import BufferTransform as BufferTransform
    from pyloader.jax.transforms import DevicePutTransform as DevicePutTransform
    from pyloader.jax.transforms import FlattenTransform as FlattenTransform
    from pyloader.jax.transforms import HostCallbackTransform as HostCallbackTransform
    from pyloader.jax.transforms import MapTransform as MapTransform
    from pyloader.jax.transforms import NormalizeImageTransform as NormalizeImageTransform
    from pyloader.jax.transforms import RenameTransform as RenameTransform
    from pyloader.jax.transforms import TimeSeriesBatchTransform as TimeSeriesBatchTransform

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

__all__ = sorted(name for names in _NAMES.values() for name in names.split())

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _NAMES)
