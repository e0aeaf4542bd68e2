"""Dataset: a number of items, each reached by its index.

`take(indices)` reads many items at once; everything else is built on it.  Every operation is lazy and composes
`take`: a batch of 256 through shuffle, map and shard is one `take` of 256 on the source.

To make one of your own, subclass `Dataset` and write `__len__` and `take(indices)`, or, simpler and slower, `__len__`
and `__getitem__(index)`.  Either may be called from several threads at once.  To change what another dataset gives,
override one of its access methods (`take`, `__getitems__`, `__getitem__`, `get`), and call the old one by super():
the loader, the operations, iteration and PyTorch's DataLoader all get what the most derived class says.
"""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pyloader.deliver import Closing
from pyloader.indexed.access import complete_access, item, item_or_none, items
from pyloader.indexed.rows import Rows, items_of

__all__ = ["Dataset", "FileDataset"]

Item = TypeVar("Item")
Out = TypeVar("Out")

_ITERATED_TOGETHER = 256  # rows for each take of a plain `for`


class Dataset(Closing, ABC, Generic[Item]):
    """Items, each reached by its index, 0 to len - 1; -1 is the last.

    >>> from pyloader.indexed import RangeDataset
    >>> squares = RangeDataset(5).map(lambda number: number * number)
    >>> squares[-1], squares[1:4], list(squares.filter(lambda square: square % 2 == 0))
    (16, [1, 4, 9], [0, 4, 16])

    Attributes:
      is_thread_safe: Whether several threads may call its methods at once, so that num_workers="auto" starts several;
        of a subclass that writes methods anew it must be said anew.
    """

    is_thread_safe: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        complete_access(cls, Dataset)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        if (args or options) and cls.__init__ is object.__init__:
            advice = '. Of a .npz write NPDataset(path, "data") and NPDataset(path, "label")' if cls is Dataset else ""
            raise TypeError(f"{cls.__name__}() takes no arguments{advice}")
        return super().__new__(cls)

    @abstractmethod
    def __len__(self) -> int: ...

    def take(self, indices: Any) -> Rows:
        """Return the items at `indices`, in that order.

        A subclass that writes it gets an int64 array of shape [n], each at least 0 and below len(self), whatever it was
        called with.  One that writes __getitems__, __getitem__ or get instead has what these give.

        Args:
          indices: A list, a range or an array of integers, in any order, also several times; negative ones count from
            the end.  An array of bools, one for each item, chooses those that are True.

        Returns:
          n rows: an array of shape [n, ...], a list of n items, or a dict, name -> such.  They belong to the caller.

        Raises:
          IndexError: an index is outside of the dataset.
          TypeError: they are no indices.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither take(indices) nor __getitem__(index): write one")

    def take_within(self, indices: np.ndarray) -> Rows:
        """Return the same as `take`, of int64 indices from the start that are within: what operations call.

        Do not write it: each class gets it from the access method that it writes.
        """
        return self.take(indices)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Item: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | npt.NDArray[Any]) -> Any: ...
    def __getitem__(self, index: Any) -> Any:
        """Return one item; for a slice, a list of indices or an array of them, rows as `take` gives them.

        Raises:
          IndexError: an index is outside of the dataset.
          TypeError: it is no index.
        """
        return item(Dataset, self, index)

    def __getitems__(self, indices: Sequence[int] | npt.NDArray[Any]) -> Any:
        """Return the items at `indices` as a list or an array of them: what PyTorch's DataLoader asks for."""
        return items(Dataset, self, indices)

    def get(self, index: int) -> Item | None:
        """Return the item at `index`, or None where there is none."""
        found: Item | None = item_or_none(Dataset, self, index)
        return found

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), _ITERATED_TOGETHER):
            yield from items_of(
                self.take_within(np.arange(start, min(start + _ITERATED_TOGETHER, len(self)), dtype=np.int64))
            )

    def is_empty(self) -> bool:
        """Tell whether there is no item."""
        return len(self) == 0

    def close(self) -> None:
        """Close files.  Rows taken before stay valid.  May be called several times."""

    def map(self, fn: Callable[[Item], Out]) -> Dataset[Out]:
        """Return the dataset of fn(item)."""
        return _made("MappedDataset", self, fn)

    def map_batch(self, fn: Callable[[Any], Out], batch_size: int = 32) -> Dataset[Out]:
        """Return the dataset of fn(rows) over consecutive batches of `batch_size` rows; the last may be shorter.

        `fn` gets rows as `take` gives them: an array where the source has arrays.
        """
        return _made("MappedBatchDataset", self, fn, batch_size)

    def filter(self, pred: Callable[[Item], bool], *, progress: bool | None = None) -> Dataset[Item]:
        """Return the dataset of the items for which `pred(item)` is true; it reads everything once, when first used.

        Args:
          pred: Called once for each item.
          progress: Whether a bar is shown meanwhile; None for on terminals only.
        """
        return _made("FilteredDataset", self, pred, progress=progress)

    def shuffle(self, seed: Any = 42, *, key: Any = None) -> Dataset[Item]:
        """Return the items in an order that `seed` decides; it takes no memory.

        Args:
          seed: An integer >= 0, or a JAX key.
          key: The same, as loadax called it.
        """
        return _made("ShuffledDataset", self, seed, key=key)

    def shard(self, *, rank: int, world_size: int, drop_remainder: bool = True) -> Dataset[Item]:
        """Return the `rank`-th of `world_size` contiguous parts.

        Args:
          rank: Counted from 0.
          world_size: How many parts there are.
          drop_remainder: Whether all parts get the same number of items, and the last len % world_size are left out;
            otherwise the first parts get one more.
        """
        return _made("ShardedDataset", self, world_size, rank, drop_remainder=drop_remainder)

    def split_dataset_by_node(self, world_size: int, rank: int, *, drop_remainder: bool = True) -> Dataset[Item]:
        """Return the same as `shard`."""
        return self.shard(rank=rank, world_size=world_size, drop_remainder=drop_remainder)

    def slice(self, start: int, stop: int) -> Dataset[Item]:
        """Return items [start, stop)."""
        return _made("PartialDataset", self, start, stop)

    def concatenate(self, *others: Dataset[Item]) -> Dataset[Item]:
        """Return these items, then those of `others`."""
        return _made("CombinedDataset", self, *others)

    def sample(self, num_samples: int, seed: int = 42, *, replacement: bool = False) -> Dataset[Item]:
        """Return `num_samples` items drawn at random: the same index is always the same item.

        Args:
          num_samples: How many; without replacement at most len(self).
          seed: An integer >= 0.
          replacement: Whether an item may come several times.
        """
        name = "SampledDatasetWithReplacement" if replacement else "SampledDatasetWithoutReplacement"
        return _made(name, self, num_samples, seed)

    def mix(
        self,
        *others: Dataset[Item],
        weights: Sequence[float],
        length: int | None = None,
        on_exhausted: str | None = None,
    ) -> Dataset[Item]:
        """Return this dataset and `others`, interleaved in the ratio of `weights`.

        Args:
          others: The other datasets.
          weights: One for each dataset, this one first; only their ratio counts.
          length: How many items, where each dataset starts over at its end; None goes by `on_exhausted`.
          on_exhausted: "stop" ends when the first dataset has been given out once, "drop" goes on with the others until
            all have.  None is "stop", and the log says how many items are left out.
        """
        return _made("MixedDataset", [self, *others], weights, length=length, on_exhausted=on_exhausted)

    def zip(self, *others: Dataset[Any]) -> Dataset[tuple[Any, ...]]:
        """Return the dataset of tuples, of one item from each; all must have the same length."""
        return _made("ZippedDataset", self, *others)

    def repeat(self, times: int) -> Dataset[Item]:
        """Return the items `times` over."""
        return _made("RepeatedDataset", self, times)

    def cache(self) -> Dataset[Item]:
        """Return the same items, each taken from here only once and kept in memory."""
        return _made("CachedDataset", self)

    def train_test_split(
        self, fraction: float = 0.1, *, seed: int = 42, key: Callable[[Item], str | int | bytes] | None = None
    ) -> tuple[Dataset[Item], Dataset[Item]]:
        """Return (train, test), decided for each item by a hash, so that growing the dataset moves no item across.

        Args:
          fraction: About how much goes to test, in (0, 1).
          seed: An integer >= 0.
          key: What is hashed of an item, so that items with equal keys stay together; None for its index.
        """
        parts: tuple[Dataset[Item], Dataset[Item]] = _operation("train_test_split")(self, fraction, seed=seed, key=key)
        return parts


class FileDataset(Dataset[Item]):
    """A dataset of open files: a copy in another process opens them for itself, by the arguments of this one."""

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        made = super().__new__(cls, *args, **options)
        made._given = args, options
        return made

    def __reduce__(self) -> Any:
        args, options = self._given
        return functools.partial(type(self), **options), args


def _operation(name: str) -> Any:
    # They derive from Dataset: the package imports each when it is first used.
    return getattr(importlib.import_module("pyloader.indexed"), name)


def _made(name: str, *args: Any, **options: Any) -> Dataset[Any]:
    made: Dataset[Any] = _operation(name)(*args, **options)
    return made
