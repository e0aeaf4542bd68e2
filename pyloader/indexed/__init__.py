"""Random access: datasets whose items are reached by index, lazy operations on them, and batches in any order.

dataset      items by index: len(ds), ds[i], ds[2:5], ds.take(indices); map, filter, shuffle, shard ... compose it
sampler      which index comes where: an endless line, a function of the seed and the place
DataLoader   batches along that line, made ahead of the training loop
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # which is where type checkers see the names
    from pyloader.compat.elsewhere import BaseDataset as BaseDataset
    from pyloader.compat.elsewhere import SampledDataset as SampledDataset
    from pyloader.compat.elsewhere import SimpleDataset as SimpleDataset
    from pyloader.compat.loadax import Batcher as Batcher
    from pyloader.compat.loadax import DataLoaderBuilder as DataLoaderBuilder
    from pyloader.compat.loaderx import converter as converter
    from pyloader.indexed.array_records import ARDataset as ARDataset
    from pyloader.indexed.arrays import NPDataset as NPDataset
    from pyloader.indexed.batches import Batches as Batches
    from pyloader.indexed.batches import Progress as Progress
    from pyloader.indexed.choosing import FilteredDataset as FilteredDataset
    from pyloader.indexed.choosing import train_test_split as train_test_split
    from pyloader.indexed.chunked import ChunkedDataset as ChunkedDataset
    from pyloader.indexed.dataloader import DataLoader as DataLoader
    from pyloader.indexed.dataset import Dataset as Dataset
    from pyloader.indexed.huggingface import HuggingFaceDataset as HuggingFaceDataset
    from pyloader.indexed.in_memory import InMemoryDataset as InMemoryDataset
    from pyloader.indexed.in_memory import RangeDataset as RangeDataset
    from pyloader.indexed.mapping import CachedDataset as CachedDataset
    from pyloader.indexed.mapping import MappedBatchDataset as MappedBatchDataset
    from pyloader.indexed.mapping import MappedDataset as MappedDataset
    from pyloader.indexed.mixing import MixedDataset as MixedDataset
    from pyloader.indexed.parquet_files import ParquetDataset as ParquetDataset
    from pyloader.indexed.polars_frames import PolarsDataset as PolarsDataset
    from pyloader.indexed.several import CombinedDataset as CombinedDataset
    from pyloader.indexed.several import NamedStreams as NamedStreams
    from pyloader.indexed.several import ZippedDataset as ZippedDataset
    from pyloader.indexed.slicing import PartialDataset as PartialDataset
    from pyloader.indexed.slicing import ShardedDataset as ShardedDataset
    from pyloader.indexed.slicing import compute_shard_boundaries as compute_shard_boundaries
    from pyloader.indexed.slicing import split_dataset as split_dataset
    from pyloader.indexed.slicing import split_dataset_by_node as split_dataset_by_node
    from pyloader.indexed.sqlite import SQLiteDataset as SQLiteDataset
    from pyloader.indexed.views import RepeatedDataset as RepeatedDataset
    from pyloader.indexed.views import SampledDatasetWithoutReplacement as SampledDatasetWithoutReplacement
    from pyloader.indexed.views import SampledDatasetWithReplacement as SampledDatasetWithReplacement
    from pyloader.indexed.views import ShuffledDataset as ShuffledDataset
    from pyloader.plan.samplers import IIDSampler as IIDSampler
    from pyloader.plan.samplers import IndexBatches as IndexBatches
    from pyloader.plan.samplers import PermutationSampler as PermutationSampler
    from pyloader.plan.samplers import Sampler as Sampler
    from pyloader.plan.samplers import SequentialSampler as SequentialSampler
    from pyloader.plan.samplers import WeightedSampler as WeightedSampler

# Where each name comes from: imported when it is first used.
_NAMES = {
    "compat.elsewhere": "BaseDataset SampledDataset SimpleDataset",
    "compat.loadax": "Batcher DataLoaderBuilder",
    "compat.loaderx": "converter",
    "indexed.array_records": "ARDataset",
    "indexed.arrays": "NPDataset",
    "indexed.batches": "Batches Progress",
    "indexed.choosing": "FilteredDataset train_test_split",
    "indexed.chunked": "ChunkedDataset",
    "indexed.dataloader": "DataLoader",
    "indexed.dataset": "Dataset",
    "indexed.huggingface": "HuggingFaceDataset",
    "indexed.in_memory": "InMemoryDataset RangeDataset",
    "indexed.mapping": "CachedDataset MappedBatchDataset MappedDataset",
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

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"pyloader.{_HOMES[name]}"), name)
    from pyloader.compat.elsewhere import NOT_HERE

    if name in NOT_HERE:
        # An AttributeError would be shown by `from pyloader.indexed import ...` without its text.
        raise ImportError(f"pyloader.indexed has no {name}. {NOT_HERE[name]}: see docs/coming-from-*.md")
    raise AttributeError(f"module 'pyloader.indexed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
