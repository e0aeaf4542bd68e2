"""Random access: datasets whose items are reached by index, lazy operations on them, and batches in any order.

dataset      items by index: len(ds), ds[i], ds[2:5], ds.take(indices); map, filter, shuffle, shard ... compose it
sampler      which index comes where: an endless line, a function of the seed and the place
DataLoader   batches along that line, made ahead of the training loop
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyloader.compat.elsewhere import BaseDataset, SampledDataset, SimpleDataset
    from pyloader.compat.loadax import Batcher, DataLoaderBuilder
    from pyloader.compat.loaderx import converter
    from pyloader.indexed.array_records import ARDataset
    from pyloader.indexed.arrays import NPDataset
    from pyloader.indexed.batches import Batches, Progress
    from pyloader.indexed.caching import CachedDataset
    from pyloader.indexed.choosing import FilteredDataset, train_test_split
    from pyloader.indexed.chunked import ChunkedDataset
    from pyloader.indexed.dataloader import DataLoader
    from pyloader.indexed.dataset import Dataset
    from pyloader.indexed.huggingface import HuggingFaceDataset
    from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
    from pyloader.indexed.mapping import MappedBatchDataset, MappedDataset
    from pyloader.indexed.mixing import MixedDataset
    from pyloader.indexed.parquet_files import ParquetDataset
    from pyloader.indexed.polars_frames import PolarsDataset
    from pyloader.indexed.several import CombinedDataset, NamedStreams, ZippedDataset
    from pyloader.indexed.slicing import (
        PartialDataset,
        ShardedDataset,
        compute_shard_boundaries,
        split_dataset,
        split_dataset_by_node,
    )
    from pyloader.indexed.sqlite import SQLiteDataset
    from pyloader.indexed.views import (
        RepeatedDataset,
        SampledDatasetWithoutReplacement,
        SampledDatasetWithReplacement,
        ShuffledDataset,
    )
    from pyloader.plan.samplers import (
        IIDSampler,
        IndexBatches,
        PermutationSampler,
        Sampler,
        SequentialSampler,
        WeightedSampler,
    )

# Where each name comes from: imported when it is first used.
_NAMES = {
    "compat.elsewhere": "BaseDataset SampledDataset SimpleDataset",
    "compat.loadax": "Batcher DataLoaderBuilder",
    "compat.loaderx": "converter",
    "indexed.array_records": "ARDataset",
    "indexed.arrays": "NPDataset",
    "indexed.batches": "Batches Progress",
    "indexed.caching": "CachedDataset",
    "indexed.choosing": "FilteredDataset train_test_split",
    "indexed.chunked": "ChunkedDataset",
    "indexed.dataloader": "DataLoader",
    "indexed.dataset": "Dataset",
    "indexed.huggingface": "HuggingFaceDataset",
    "indexed.in_memory": "InMemoryDataset RangeDataset",
    "indexed.mapping": "MappedBatchDataset MappedDataset",
    "indexed.mixing": "MixedDataset",
    "indexed.parquet_files": "ParquetDataset",
    "indexed.polars_frames": "PolarsDataset",
    "indexed.several": "CombinedDataset NamedStreams ZippedDataset",
    "indexed.slicing": "PartialDataset ShardedDataset compute_shard_boundaries split_dataset split_dataset_by_node",
    "indexed.sqlite": "SQLiteDataset",
    "indexed.views": "RepeatedDataset SampledDatasetWithReplacement SampledDatasetWithoutReplacement ShuffledDataset",
    "plan.samplers": "IIDSampler IndexBatches PermutationSampler Sampler SequentialSampler WeightedSampler",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"pyloader.{_HOMES[name]}"), name)
    from pyloader.compat.elsewhere import NOT_HERE

    if name in NOT_HERE:
        # An AttributeError would be shown by `from pyloader.indexed import ...` without its text.
        raise ImportError(f"pyloader.indexed has no {name}. {NOT_HERE[name]}: see docs/coming-from-*.md")
    raise AttributeError(f"module 'pyloader.indexed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
