"""Names of loaderx and loadax for what is called otherwise in `pyloader.indexed`, or is written in another way."""

from __future__ import annotations

from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import InMemoryDataset
from pyloader.indexed.views import SampledDatasetWithoutReplacement

__all__ = ["NOT_HERE", "BaseDataset", "SampledDataset", "SimpleDataset"]

BaseDataset = Dataset
SampledDataset = SampledDatasetWithoutReplacement
SimpleDataset = InMemoryDataset

# What to write in place of a name that is not here.
NOT_HERE = {
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
