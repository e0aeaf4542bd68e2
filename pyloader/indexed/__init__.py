"""Random access: datasets whose items are reached by index, lazy operations on them, and batches in any order.

dataset      items by index: len(ds), ds[i], ds[2:5], ds.take(indices); map, filter, shuffle, shard ... compose it
sampler      which index comes where: an endless line, a function of the seed and the place
DataLoader   batches along that line, made ahead of the training loop
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyloader.compat.loadax import Batcher, DataLoaderBuilder
    from pyloader.compat.loaderx import converter
    from pyloader.indexed.array_records import ARDataset
    from pyloader.indexed.arrays import NPDataset
    from pyloader.indexed.batches import Batches, Progress
    from pyloader.indexed.caching import CachedDataset
    from pyloader.indexed.chunked import ChunkedDataset
    from pyloader.indexed.concatenation import CombinedDataset
    from pyloader.indexed.dataloader import DataLoader
    from pyloader.indexed.dataset import BaseDataset, Dataset
    from pyloader.indexed.filtering import FilteredDataset
    from pyloader.indexed.huggingface import HuggingFaceDataset
    from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset, SimpleDataset
    from pyloader.indexed.mapping import MappedBatchDataset, MappedDataset
    from pyloader.indexed.mixing import MixedDataset
    from pyloader.indexed.named import NamedStreams
    from pyloader.indexed.parquet_files import ParquetDataset
    from pyloader.indexed.polars_frames import PolarsDataset
    from pyloader.indexed.repeating import RepeatedDataset
    from pyloader.indexed.sampling import (
        SampledDataset,
        SampledDatasetWithoutReplacement,
        SampledDatasetWithReplacement,
    )
    from pyloader.indexed.sharding import ShardedDataset, compute_shard_boundaries, split_dataset_by_node
    from pyloader.indexed.shuffling import ShuffledDataset
    from pyloader.indexed.slicing import PartialDataset, split_dataset
    from pyloader.indexed.splitting import train_test_split
    from pyloader.indexed.sqlite import SQLiteDataset
    from pyloader.indexed.zipping import ZippedDataset
    from pyloader.plan.samplers import (
        IIDSampler,
        IndexBatches,
        PermutationSampler,
        Sampler,
        SequentialSampler,
        WeightedSampler,
    )

# Where each name comes from: imported when it is first used.
_HOMES = {
    "ARDataset": "array_records",
    "BaseDataset": "dataset",
    "Batcher": "pyloader.compat.loadax",
    "Batches": "batches",
    "CachedDataset": "caching",
    "ChunkedDataset": "chunked",
    "CombinedDataset": "concatenation",
    "DataLoader": "dataloader",
    "DataLoaderBuilder": "pyloader.compat.loadax",
    "Dataset": "dataset",
    "FilteredDataset": "filtering",
    "HuggingFaceDataset": "huggingface",
    "IIDSampler": ".plan.samplers",
    "InMemoryDataset": "in_memory",
    "IndexBatches": ".plan.samplers",
    "MappedBatchDataset": "mapping",
    "MappedDataset": "mapping",
    "MixedDataset": "mixing",
    "NPDataset": "arrays",
    "NamedStreams": "named",
    "ParquetDataset": "parquet_files",
    "PartialDataset": "slicing",
    "PermutationSampler": ".plan.samplers",
    "PolarsDataset": "polars_frames",
    "Progress": "batches",
    "RangeDataset": "in_memory",
    "RepeatedDataset": "repeating",
    "SQLiteDataset": "sqlite",
    "SampledDataset": "sampling",
    "SampledDatasetWithReplacement": "sampling",
    "SampledDatasetWithoutReplacement": "sampling",
    "Sampler": ".plan.samplers",
    "SequentialSampler": ".plan.samplers",
    "ShardedDataset": "sharding",
    "ShuffledDataset": "shuffling",
    "SimpleDataset": "in_memory",
    "WeightedSampler": ".plan.samplers",
    "ZippedDataset": "zipping",
    "compute_shard_boundaries": "sharding",
    "converter": "pyloader.compat.loaderx",
    "split_dataset": "slicing",
    "split_dataset_by_node": "sharding",
    "train_test_split": "splitting",
}

__all__ = [
    "ARDataset",
    "BaseDataset",
    "Batcher",
    "Batches",
    "CachedDataset",
    "ChunkedDataset",
    "CombinedDataset",
    "DataLoader",
    "DataLoaderBuilder",
    "Dataset",
    "FilteredDataset",
    "HuggingFaceDataset",
    "IIDSampler",
    "InMemoryDataset",
    "IndexBatches",
    "MappedBatchDataset",
    "MappedDataset",
    "MixedDataset",
    "NPDataset",
    "NamedStreams",
    "ParquetDataset",
    "PartialDataset",
    "PermutationSampler",
    "PolarsDataset",
    "Progress",
    "RangeDataset",
    "RepeatedDataset",
    "SQLiteDataset",
    "SampledDataset",
    "SampledDatasetWithReplacement",
    "SampledDatasetWithoutReplacement",
    "Sampler",
    "SequentialSampler",
    "ShardedDataset",
    "ShuffledDataset",
    "SimpleDataset",
    "WeightedSampler",
    "ZippedDataset",
    "compute_shard_boundaries",
    "converter",
    "split_dataset",
    "split_dataset_by_node",
    "train_test_split",
]


# What loaderx and loadax call otherwise, and what to write here.
_ELSEWHERE = {
    "Dataloader": "Write DataLoader(dataset, shuffle=False, num_epochs=1, starts_over=True, transform=list)",
    "DataloaderBuilder": "Write DataLoaderBuilder(batcher)",
    "NaiveDataloader": "Write DataLoaderBuilder(batcher).workers(0)",
    "DistributedShardingStrategy": "Write DataLoaderBuilder(batcher).shard(mesh)",
    "ShardingStrategy": "Write DataLoaderBuilder(batcher).shard(mesh)",
    "NoShardingStrategy": "Leave it out",
    "ddp_sharding": "It is in pyloader.jax",
    "fsdp_sharding": "It is in pyloader.jax",
    "Loader": "Write DataLoader({name: dataset, ...})",
    "DenseStore": "Write NPDataset(path), or ARDataset(directory)",
}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        # An AttributeError would be shown by `from pyloader.indexed import ...` without its text.
        raise ImportError(f"pyloader.indexed has no {name}. {_ELSEWHERE[name]}: see docs/coming-from-*.md")
    if name not in _HOMES:
        raise AttributeError(f"module 'pyloader.indexed' has no attribute {name!r}")
    home = _HOMES[name]
    if home.startswith("pyloader."):
        return getattr(importlib.import_module(home), name)
    return getattr(importlib.import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
