"""DataLoaderBuilder, as loadax has it: a DataLoader, said step by step, of batches of the type that Batcher makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from pyloader.indexed.dataloader import DataLoader
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.rows import Rows, items_of
from pyloader.options import checked_integer, checked_word
from pyloader.world import World, resolve_world

__all__ = ["Batcher", "DataLoaderBuilder"]

Item = TypeVar("Item")
Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Batcher(Generic[Item, Batch]):
    """Makes a batch of a list of items.

    Attributes:
      fn: Called with the items of one batch, in a worker.
    """

    fn: Callable[[list[Item]], Batch]

    def batch(self, items: list[Item]) -> Batch:
        """Return the batch of `items`."""
        return self.fn(items)


@dataclass(frozen=True, slots=True)
class DataLoaderBuilder(Generic[Item, Batch]):
    """What a DataLoader is to be.  Each method returns a new builder, and leaves this one as it is.

    What it builds is a definition: every `iter(loader)` begins at the first batch and delivers each item once, in the
    order of the dataset, the last batch short; `len(loader)` counts it too.  On several shards, which must have equally
    many batches, the last one is filled with items before it: `last_batch` changes that.

    Args:
      batcher: Makes each batch.
    """

    batcher: Batcher[Item, Batch]
    options: tuple[tuple[str, Any], ...] = (
        ("batch_size", 1),
        ("num_workers", 1),
        ("prefetch_size", 2),
        ("world", None),
    )

    def batch_size(self, batch_size: int) -> DataLoaderBuilder[Item, Batch]:
        """Set how many items a batch has; 1 unless set."""
        return self._with(batch_size=checked_integer("batch_size", batch_size, at_least=1))

    def workers(self, num_workers: int) -> DataLoaderBuilder[Item, Batch]:
        """Set how many threads make batches; 1 unless set, and 0 for the caller's own."""
        return self._with(num_workers=checked_integer("num_workers", num_workers, at_least=0))

    def prefetch(self, prefetch_size: int) -> DataLoaderBuilder[Item, Batch]:
        """Set how many batches may wait for the loop; 2 unless set."""
        return self._with(prefetch_size=checked_integer("prefetch_size", prefetch_size, at_least=0))

    def last_batch(self, rule: str) -> DataLoaderBuilder[Item, Batch]:
        """Set what becomes of the last items, when they make no whole batch.

        Args:
          rule: "keep" a short batch, "drop" them, or "wrap": fill the batch with the items before them.  Unless set it
            is "keep", and "wrap" on several shards.
        """
        return self._with(last_batch=checked_word("last_batch", rule, "keep", "drop", "wrap"))

    def shard(
        self,
        world: Any = None,
        data_axis_name: str | None = None,
        num_shards: int | None = None,
        shard_id: int | None = None,
    ) -> DataLoaderBuilder[Item, Batch]:
        """Set which share of each global batch this process gets; no item is left out unless `last_batch` says so.

        Args:
          world: A World, (rank, size), anything with `rank` and `size`; or a jax.sharding.Mesh, of which the processes
            along its data axis share each batch.
          data_axis_name: Of a mesh, that axis; None is "data" where there is one, else the first.
          num_shards: The size, in other words; together with `shard_id`, also in place of what a mesh says.
          shard_id: The rank.

        Raises:
          TypeError, ValueError: that names no share.
        """
        is_mesh = hasattr(world, "axis_names")
        if shard_id is not None and num_shards is not None and (world is None or is_mesh):
            world = World(shard_id, num_shards)
        elif world is None or shard_id is not None or num_shards is not None:
            raise TypeError("shard takes a World, (rank, size) or a mesh; or both shard_id= and num_shards=")
        elif is_mesh:
            names = world.axis_names
            world = World.of_mesh(world, data_axis_name or ("data" if "data" in names else names[0]))
        elif not isinstance(world, World) and hasattr(world, "rank") and hasattr(world, "size"):
            world = World(world.rank, world.size)
        return self._with(world=resolve_world(world)[0])

    def build(self, dataset: Dataset[Item]) -> DataLoader[Batch]:
        """Return the loader of `dataset`."""
        batcher = self.batcher

        def batch_of(rows: Rows) -> Batch:
            # The items of an array of numbers are Python's numbers.
            return batcher.batch(rows.tolist() if isinstance(rows, np.ndarray) and rows.ndim == 1 else items_of(rows))

        options = dict(self.options)
        if options["world"] is not None and options["world"].size > 1:
            options.setdefault("last_batch", "wrap")
        return DataLoader(dataset, shuffle=False, transform=batch_of, num_epochs=1, starts_over=True, **options)

    def _with(self, **options: Any) -> DataLoaderBuilder[Item, Batch]:
        return replace(self, options=tuple({**dict(self.options), **options}.items()))
