"""DataLoader: batches of random-access datasets, in the order of a sampler, made ahead of the training loop."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pyloader.datacollator import DataCollator
from pyloader.deliver import Turn
from pyloader.errors import ClosedError, ConcurrentUseError
from pyloader.indexed.arguments import IndexedArguments
from pyloader.indexed.batches import Batches, Progress
from pyloader.indexed.options import item_notes, resolve
from pyloader.observe import Counters, Stats
from pyloader.options import checked_integer
from pyloader.plan import ItemPosition, Sampler, item_groups, item_position_from_state
from pyloader.run.adapters import DeliveredState, HasPosition
from pyloader.run.run_notes import log_run
from pyloader.world import World

__all__ = ["DataLoader"]

_log = logging.getLogger("pyloader")

Batch = TypeVar("Batch")


class DataLoader(HasPosition, Generic[Batch]):
    """Streams batches of random-access datasets to a training loop, endless unless `num_epochs` is given.

    A `for` goes on where the last one stopped, also after `break`.  Each `iter(loader)` is an iterator of its own: it
    begins where the loader stands, and from then on no other moves it.  The loader stands where its latest iterator
    does; `next(loader)` and `loader.state_dict()` are that one's.  Use each from one thread at a time.

    Args:
      dataset: A `Dataset`, an array, a list, or any object with `__len__` and `__getitem__`; or a dict of them by name,
        of equal lengths, whose batches are dicts with the same names.
      labelset: Labels for `dataset`; then batches are {"data": ..., "label": ...}.
      num_workers: Threads that take rows and make batches; 0 does everything in the caller's thread.  "auto" is 4, or
        the number of processors where there are fewer; and 1 where `dataset`, `transform` or `datacollator` is code of
        yours that does not say `is_thread_safe = True`: its class, or the function.
      batch_size: Samples in a batch (of one rank).
      prefetch_size: How many batches may wait for the loop; num_workers more are being made.
      shuffle: Whether every epoch has another order; False keeps that of the dataset.
      seed: The seed of the order, and of `keys`, an integer >= 0.
      transform: Called in the workers with a batch's rows, as the dataset gives them; what it returns becomes the
        batch.  With `labelset` it is called with the pair, transform((data, label)), or, when it takes two arguments,
        transform(data, label); it returns the pair.  A parameter named `keys` gets a random number for each row, uint64
        of shape [rows], that depends on seed, epoch and item alone: for augmentation that is the same on any number of
        ranks and workers.
      num_epochs: How many epochs a `for` has; None never ends.
      sampler: Decides the order in place of `shuffle` and `seed`.
      datacollator: Makes the batch of what there is after `transform`, its columns: those of the dataset; of items that
        are dicts, their values by key; of tuples, their values by place ("0", "1"), and what it returns under these
        names becomes a tuple again; of all other items {"data": rows}.  None makes arrays of numbers, in the form of
        the items: dicts become a dict of arrays, tuples a tuple; strings and all else stay lists.
      last_batch: An epoch's last rows, when they make no whole batch: "keep" a short batch, "drop" them, "pad" it by
        repeating a row (every batch then has a bool "mask"), "wrap": repeat the rows before them, or "span": the batch
        takes the first rows of the next epoch, so that all are whole, and none is lost or repeated.  None is "span" for
        an endless loader and "keep" for one that ends.
      worker_kind: "thread" for what leaves the interpreter's lock (NumPy, decompression, most decoders and tokenizers);
        "process" for code that is Python all through: the dataset, transform and datacollator are then sent to
        num_workers processes of their own, which open its files anew, and the batches are the same.
      max_skipped: How many items that cannot be loaded are left out before one is an error: a number, or a share of all
        items such as "1%".  Another item of the batch stands in the place of each, a "mask" is False there, and
        stats() counts and lists them.
      stall_timeout_seconds: Seconds without a batch before StallError; None warns after 60, and waits.
      progress: Whether to show a progress bar.
      world: Which data-parallel rank this is: a World, or (rank, size), or None for the only one.  "auto" asks
        torch.distributed, jax.distributed, and RANK and WORLD_SIZE, as World.detect does.  Each global batch is shared
        out among the ranks; batch_size is per rank.
      starts_over: Whether each `iter(loader)` begins at the first batch, instead of where the loader stands.
      log_dir: Where this rank writes once a second what `metrics()` counts, for `pyloader watch` and `report`: a
        directory, the same for all ranks.  None writes nothing.

    Raises:
      TypeError: an argument of the wrong kind, or an option that does not exist; the message says what to write.
      ValueError: a number out of range, datasets of unequal lengths or without items, or rules that exclude each other.
      WriteError: nothing can be written in log_dir.
    """

    def __init__(
        self,
        dataset: Any,
        labelset: Any = None,
        num_workers: int | str | None = "auto",
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
        worker_kind: str = "thread",
        max_skipped: int | str = 0,
        stall_timeout_seconds: float | None = None,
        progress: bool = False,
        world: World | tuple[int, int] | str | None = "auto",
        starts_over: bool = False,
        log_dir: str | os.PathLike[str] | None = None,
        **old_names: Any,
    ) -> None:
        given = IndexedArguments(
            dataset=dataset, labelset=labelset, num_workers=num_workers, batch_size=batch_size, seed=seed,
            prefetch_size=prefetch_size, shuffle=shuffle, transform=transform, num_epochs=num_epochs, sampler=sampler,
            datacollator=datacollator, last_batch=last_batch, worker_kind=worker_kind, max_skipped=max_skipped,
            stall_timeout_seconds=stall_timeout_seconds, progress=progress, world=world, starts_over=starts_over,
            log_dir=log_dir,
        )  # fmt: skip
        self._options = resolve(given.renamed(old_names))
        self._starts_over = starts_over
        self._is_closed = False
        self._turn = Turn("DataLoader")
        self._iterators: weakref.WeakSet[Batches[Batch]] = weakref.WeakSet()
        self._latest = self._at(ItemPosition())
        self._is_fresh = True  # the latest iterator has been given to nobody
        if log_dir is not None:
            log_run(self, log_dir, item_notes(self._options))
        if self._options.world_source:
            _log.info(self._options.describe_rank())

    def __iter__(self) -> Batches[Batch]:
        self._unwrap_if_left()
        self._check_open()
        if not self._is_fresh:
            self._latest = self._at(ItemPosition() if self._starts_over else self._latest.position)
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
        if self._options.run_steps is None:
            raise TypeError(
                "a DataLoader with num_epochs=None is endless and has no length: give num_epochs=1, or stop the loop "
                "yourself"
            )
        return self._options.run_steps

    def __repr__(self) -> str:
        return f"DataLoader({self._options})"

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches an epoch has; None when batches span epochs."""
        return self._options.plan.steps_per_epoch

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

    def stats(self) -> Stats:
        """Return what all iterators have delivered since the loader was made, and where the time went."""
        options = self._options
        return Stats(
            **options.counters.totals(),
            rank=options.plan.rank,
            num_ranks=options.plan.world_size,
            num_workers=options.num_workers,
            worker_kind=options.given.worker_kind,
            last_batch=options.plan.last_batch,
            skipped=dict(options.skipped),
        )

    def seek(self, step: int) -> None:
        """Go to the batch of a step, counted from 0 over all epochs, in no time.

        Raises:
          ValueError: `step` is below 0, or so large that NumPy cannot number its rows.
          StateError: this loader is wrapped; its wrapper has batches that come before.
        """
        self._check_outermost("load_state_dict(state)")
        self._go_on_from(self._options.position_at(step))

    def peek(self) -> Batch:
        """Return the batch that comes next, without using it up; at a run's end, the first of the next run."""
        options, step = self._options, self._latest.steps_done
        group = next(item_groups(options.plan, step, step + 1, num_together=lambda: 1))
        batch: Batch = options.make(group).batches[0]  # a function of the step: it is made once more when it comes
        return batch

    def close(self) -> None:
        """End the threads of all iterators.  Positions stay; batches cannot be had any more.  Datasets stay open."""
        self._is_closed = True
        for batches in list(self._iterators):
            batches.close()

    def _counters_of_loader(self) -> Counters:
        return self._options.counters

    def _delivered(self) -> DeliveredState:
        latest, counters = self._latest, self._options.counters
        state = latest.state_dict()
        return DeliveredState(state, latest.steps_done, latest.epochs_done, counters.num_steps, counters.num_samples)

    def _interrupt(self, error: ConcurrentUseError) -> None:
        self._latest._interrupt(error)

    def _load(self, state: Mapping[str, Any]) -> None:
        self._go_on_from(item_position_from_state(state, self._options.plan))

    def _reset(self) -> None:
        self._go_on_from(ItemPosition())

    def _skip(self, num_steps: int) -> None:
        left = self._options.plan.last_step - self._latest.steps_done
        checked_integer("num_steps", num_steps, at_least=0, at_most=left)
        if num_steps:
            self._go_on_from(ItemPosition(self._latest.steps_done + num_steps, ended=True))

    def _at(self, position: ItemPosition) -> Batches[Batch]:
        batches: Batches[Batch] = Batches(self._options, position)
        self._iterators.add(batches)
        return batches

    def _go_on_from(self, position: ItemPosition) -> None:
        self._check_open()
        self._latest, self._is_fresh = self._at(position), True

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("this DataLoader is closed.", "Make a new one, and give it the state_dict() of this one")
