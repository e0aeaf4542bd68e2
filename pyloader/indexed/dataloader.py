"""DataLoader: batches of random-access datasets, in the order of a sampler, made ahead of the training loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar

from pyloader.datacollator import DataCollator
from pyloader.errors import ClosedError
from pyloader.indexed.batches import Batches, Progress, Recipe
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.finishing import finishing
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.named import NamedStreams
from pyloader.indexed.planning import LAST_BATCH_RULES, BatchPlan
from pyloader.indexed.positions import Position, position_from_state
from pyloader.indexed.samplers import PermutationSampler, Sampler, SequentialSampler
from pyloader.options import checked_integer, checked_seconds

__all__ = ["DataLoader"]

Batch = TypeVar("Batch")


class DataLoader(Generic[Batch]):
    """Streams batches of random-access datasets to a training loop, endless unless `num_epochs` is given.

    A `for` goes on where the last one stopped, also after `break`.  Each `iter(loader)` is an iterator of its own: it
    begins where the loader stands, and from then on no other moves it.  The loader stands where its latest iterator
    does; `next(loader)` and `loader.state_dict()` are that one's.  Use each from one thread at a time.

    Args:
      dataset: A `Dataset`, an array, a list, or any object with `__len__` and `__getitem__`; or a dict of them by name,
        of equal lengths, whose batches are dicts with the same names.
      labelset: Labels for `dataset`; then batches are {"data": ..., "label": ...}.
      num_workers: Threads that make batches; 0 does everything in the caller's thread.
      batch_size: Samples in a batch (of one rank).
      prefetch_size: How many batches may wait for the loop; num_workers more are being made.
      shuffle: Whether every epoch has another order; False keeps that of the dataset.
      seed: The seed of the order, an integer >= 0.
      transform: Called in the workers with a batch's rows, as the dataset gives them; what it returns becomes the
        batch.  With `labelset` it is called with the pair, transform((data, label)), or, when it takes two arguments,
        transform(data, label); it returns the pair.
      num_epochs: How many epochs a `for` has; None never ends.
      sampler: Decides the order in place of `shuffle` and `seed`.
      datacollator: Makes the batch of what there is after `transform`, its columns: {"data": rows} where they have no
        names.  None makes arrays of lists of numbers, and leaves all else what it is.
      last_batch: An epoch's last rows, when they make no whole batch: "keep" a short batch, "drop" them, "pad" it by
        repeating a row (every batch then has a bool "mask"), "wrap": repeat the rows before them, or "span": the batch
        takes the first rows of the next epoch, so that all are whole, and none is lost or repeated.  None is "span" for
        an endless loader and "keep" for one that ends.
      world: (rank, world_size) of this process among all that train together: each global batch is shared out.
      progress: Whether to show a progress bar.
      stall_timeout_seconds: Seconds without a batch before StallError; None warns after 60, and waits.
      starts_over: Whether each `iter(loader)` begins at the first batch, instead of where the loader stands.

    Raises:
      TypeError: an argument of the wrong kind.
      ValueError: a number out of range, datasets of unequal lengths or without items, or rules that exclude each other.
    """

    def __init__(
        self,
        dataset: Any,
        labelset: Any = None,
        num_workers: int = 4,
        batch_size: int = 256,
        prefetch_size: int = 4,
        shuffle: bool = True,
        seed: int = 42,
        transform: Callable[..., Any] | None = None,
        *,
        num_epochs: int | None = None,
        sampler: Sampler | None = None,
        datacollator: DataCollator | None = None,
        last_batch: str | None = None,
        world: tuple[int, int] = (0, 1),
        progress: bool = False,
        stall_timeout_seconds: float | None = None,
        starts_over: bool = False,
    ) -> None:
        source = _source(dataset, labelset)
        if num_epochs is not None:
            checked_integer("num_epochs", num_epochs, at_least=1)
        rank, world_size = _checked_world(world)
        plan = BatchPlan(
            sampler=_checked_sampler(sampler, len(source), shuffle, seed),
            batch_size=checked_integer("batch_size", batch_size, at_least=1),
            last_batch=_checked_rule(last_batch, num_epochs, world_size),
            rank=rank,
            world_size=world_size,
        )
        if plan.steps_per_epoch == 0:
            raise ValueError(
                f"{len(source):,} items make no batch of {plan.global_batch_size:,} with last_batch='drop': "
                f"make batch_size smaller, or write last_batch='wrap'"
            )
        self._recipe = Recipe(
            plan=plan,
            take=source.take,
            finish=finishing(transform, datacollator, is_pair=labelset is not None),
            num_epochs=num_epochs,
            num_workers=checked_integer("num_workers", num_workers, at_least=0),
            prefetch_size=checked_integer("prefetch_size", prefetch_size, at_least=0),
            stall_timeout_seconds=checked_seconds("stall_timeout_seconds", stall_timeout_seconds),
            progress=progress,
        )
        self._described = _described(dataset if labelset is None else (dataset, labelset))
        self._starts_over = starts_over
        self._is_closed = False
        self._iterators: weakref.WeakSet[Batches[Batch]] = weakref.WeakSet()
        self._latest = self._at(Position())
        self._is_fresh = True  # the latest iterator has been given to nobody

    def __iter__(self) -> Batches[Batch]:
        self._check_open()
        if not self._is_fresh:
            self._latest = self._at(Position() if self._starts_over else self._latest.position)
        self._is_fresh = False
        return self._latest

    def __next__(self) -> Batch:
        self._check_open()
        self._is_fresh = False
        return next(self._latest)

    def __len__(self) -> int:
        """Return how many batches a `for` has from its start on.

        Raises:
          TypeError: num_epochs is None.
        """
        if self._recipe.run_steps is None:
            raise TypeError(
                "a DataLoader with num_epochs=None is endless and has no length: give num_epochs=1, or stop the loop "
                "yourself"
            )
        return self._recipe.run_steps

    def __bool__(self) -> bool:
        return True  # an endless one has no len() to go by

    def __repr__(self) -> str:
        recipe, plan = self._recipe, self._recipe.plan
        world = f", world=({plan.rank}, {plan.world_size})" if plan.world_size > 1 else ""
        return (
            f"DataLoader({self._described}, num_workers={recipe.num_workers}, batch_size={plan.batch_size}, "
            f"prefetch_size={recipe.prefetch_size}, num_epochs={recipe.num_epochs}, sampler={plan.sampler.identity}, "
            f"last_batch={plan.last_batch!r}{world})"
        )

    def __enter__(self) -> DataLoader[Batch]:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when batches span epochs."""
        return self._recipe.plan.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """How many batches have been delivered, over all epochs; counted on by a loader that resumes."""
        return self._latest.steps_done

    @property
    def epochs_done(self) -> int:
        """How many epochs have been delivered to their end."""
        return self._latest.epochs_done

    def progress(self) -> Progress:
        """Return how many rows of this run the loop has received, and of how many."""
        return self._latest.progress()

    def reset(self) -> None:
        """Go back to the first batch."""
        self._go_on_from(Position())

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time."""
        self._go_on_from(Position(checked_integer("step", step, at_least=0), ended=True))

    def state_dict(self) -> dict[str, Any]:
        """Return what the loop has received, as small JSON; a loader that loads it goes on with the next batch."""
        return self._latest.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch after `state`.

        Raises:
          StateError: the state was saved with another dataset or order; the message says what to write.
        """
        self._go_on_from(position_from_state(state, self._recipe.plan))

    def close(self) -> None:
        """End the threads of all iterators.  Positions stay; batches cannot be had any more.  Datasets stay open."""
        self._is_closed = True
        for batches in list(self._iterators):
            batches.close()

    def _at(self, position: Position) -> Batches[Batch]:
        batches: Batches[Batch] = Batches(self._recipe, position)
        self._iterators.add(batches)
        return batches

    def _go_on_from(self, position: Position) -> None:
        self._check_open()
        self._latest, self._is_fresh = self._at(position), True

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("this DataLoader is closed.", "Make a new one, and give it the state_dict() of this one")


def _source(dataset: Any, labelset: Any) -> Dataset[Any]:
    """Return what batches are taken from, as one dataset."""
    if labelset is not None:
        if isinstance(dataset, Mapping):
            raise TypeError("labelset goes with one dataset; beside several by name, give it a name: {..., 'label': y}")
        source: Dataset[Any] = NamedStreams({"data": dataset, "label": labelset})
    else:
        source = NamedStreams(dataset) if isinstance(dataset, Mapping) else as_dataset(dataset)
    if len(source) == 0:
        raise ValueError(f"{_described(dataset)} has no items: there is nothing to load")
    return source


def _described(dataset: Any) -> str:
    if isinstance(dataset, tuple):
        return ", ".join(map(_described, dataset))
    if isinstance(dataset, Mapping):
        return f"{{{', '.join(f'{name!r}: {_described(one)}' for name, one in dataset.items())}}}"
    return f"{type(dataset).__name__} of {len(dataset):,}"


def _checked_sampler(sampler: Sampler | None, length: int, shuffle: bool, seed: int) -> Sampler:
    if sampler is None:
        return PermutationSampler(length, seed) if shuffle else SequentialSampler(length)
    if not isinstance(sampler, Sampler):
        what = f"sampler must be a pyloader.indexed.Sampler, got a {type(sampler).__name__}."
        raise TypeError(f"{what} Subclass it and write indices(start, stop)")
    if sampler.length != length:
        raise ValueError(f"sampler chooses from {sampler.length:,} items; the dataset has {length:,}")
    return sampler


def _checked_rule(last_batch: str | None, num_epochs: int | None, world_size: int) -> str:
    rule = ("span" if num_epochs is None else "keep") if last_batch is None else last_batch
    if rule not in LAST_BATCH_RULES:
        names = ", ".join(map('"{}"'.format, LAST_BATCH_RULES[:-1]))
        raise ValueError(f'last_batch must be {names} or "{LAST_BATCH_RULES[-1]}", not {last_batch!r}')
    if rule == "span" and num_epochs is not None:
        raise ValueError('last_batch="span" needs num_epochs=None: its epochs do not end between two batches')
    if rule == "keep" and world_size > 1:
        raise ValueError(
            f'last_batch="keep" would give {world_size} ranks short batches of different sizes: write "drop", "pad" or '
            f'"wrap"'
        )
    return rule


def _checked_world(world: tuple[int, int]) -> tuple[int, int]:
    try:
        rank, world_size = world
    except (TypeError, ValueError):
        raise TypeError(f"world must be (rank, world_size), got {world!r}") from None
    world_size = checked_integer("world_size", world_size, at_least=1)
    rank = checked_integer("rank", rank, at_least=0)
    if rank >= world_size:
        raise ValueError(f"rank must be below world_size={world_size}, got {rank}: ranks count from 0")
    return rank, world_size
