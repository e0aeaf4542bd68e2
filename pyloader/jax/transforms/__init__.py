"""Transforms: what stands on a source, and is one itself."""

from pyloader.jax.transforms.batch import BatchTransform
from pyloader.jax.transforms.buffer import BufferTransform
from pyloader.jax.transforms.host import DevicePutTransform, HostCallbackTransform
from pyloader.jax.transforms.mapping import (
    FlattenTransform,
    MapTransform,
    NormalizeImageTransform,
    RenameTransform,
    TimeSeriesBatchTransform,
)

__all__ = [
    "BatchTransform",
    "BufferTransform",
    "DevicePutTransform",
    "FlattenTransform",
    "HostCallbackTransform",
    "MapTransform",
    "NormalizeImageTransform",
    "RenameTransform",
    "TimeSeriesBatchTransform",
]
