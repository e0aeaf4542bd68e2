"""The options of the random-access DataLoader: checked, and resolved into what its iterators are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyloader.datacollator import DataCollator
from pyloader.indexed.arguments import IndexedArguments
from pyloader.indexed.dataset import Dataset
from pyloader.indexed.in_memory import as_dataset
from pyloader.indexed.making import STAGES, MakeBatches, made_batches
from pyloader.indexed.several import NamedStreams
from pyloader.indexed.slicing import ShardedDataset
from pyloader.indexed.transforming import RowsFunction, batch_functions, takes_keys
from pyloader.machine.limits import num_processors
from pyloader.observe import Counters
from pyloader.options import check_workers, checked_integer, checked_max_skipped
from pyloader.plan import ItemPlan, ItemPosition, PermutationSampler, Sampler, SequentialSampler
from pyloader.run.arguments import AsWritten
from pyloader.run.run_notes import RunNotes
from pyloader.thread_safety import is_thread_safe
from pyloader.world import World, resolve_world

__all__ = ["ItemOptions", "item_notes", "resolve"]

_NUM_WORKERS = 4


@dataclass(frozen=True, kw_only=True)
class ItemOptions:
    """What a loader was given, resolved: what its iterators have in common."""

    given: IndexedArguments  # the options as they were given
    source: Dataset[Any]  # rows are taken from it
    transform: RowsFunction | None  # changes a batch's rows
    collate: RowsFunction | None  # makes the batch of them
    plan: ItemPlan  # which rows make which batch
    num_workers: int  # threads; 0 does everything in the caller's
    max_skipped: int  # how many items that cannot be taken are left out before one is an error
    world: World  # which rank this is
    world_source: str  # who said so; "" where this process is alone
    # what the iterators count, all together
    counters: Counters = field(default_factory=lambda: Counters(busy_seconds=dict.fromkeys(STAGES, 0.0)))
    skipped: dict[str, str] = field(default_factory=dict)  # the items that they left out, and why

    @property
    def make(self) -> MakeBatches:
        """What makes the batches of a group; it can be sent to another process if the user's objects can."""
        adds_mask, skips = self.plan.last_batch == "pad", self.max_skipped > 0
        return partial(made_batches, self.source, self.transform, self.collate, adds_mask, skips)

    @property
    def in_processes(self) -> bool:
        """Whether the user's code runs in other processes."""
        return self.given.worker_kind == "process"

    @property
    def run_steps(self) -> int | None:
        """How many batches a run has; None when it is endless."""
        steps = self.plan.steps_per_epoch
        return None if steps is None or self.given.num_epochs is None else steps * self.given.num_epochs

    def run_around(self, position: ItemPosition) -> tuple[int, int | None]:
        """Return the first step, and the step after the last, of the run that goes on at `position`."""
        if self.run_steps is None:
            return 0, None
        number, place = divmod(position.steps_done, self.run_steps)
        if place == 0 and number and not position.ended:
            number -= 1  # its last batch has been received, and its end has not
        return number * self.run_steps, (number + 1) * self.run_steps

    def position_at(self, step: int) -> ItemPosition:
        """Return the position before a step, counted over all epochs, once it is known to be one."""
        return ItemPosition(checked_integer("step", step, at_least=0, at_most=self.plan.last_step), ended=True)

    def describe_rank(self) -> str:
        """Return which rank this is, who said so, and how long an epoch is on all ranks alike."""
        rank = f"rank {self.plan.rank} of {self.plan.world_size} ({self.world_source})"
        steps = self.plan.steps_per_epoch
        return rank if steps is None else f"{rank}, {steps:,} steps an epoch"

    @property
    def described_data(self) -> str:
        """The datasets in words."""
        return ", ".join(_described(data) for data in (self.given.dataset, self.given.labelset) if data is not None)

    def __str__(self) -> str:
        """Return the options as repr shows them; the dataset and the sampler tell labelset, shuffle and seed."""
        shown = {**vars(self.given), "num_workers": self.num_workers, "last_batch": self.plan.last_batch}
        shown |= {"sampler": AsWritten(self.plan.sampler.identity), "world": self.world}
        for name in ("transform", "datacollator"):
            if (part := shown[name]) is not None:
                shown[name] = AsWritten(
                    f"{type(part).__name__}()"
                    if isinstance(part, DataCollator)
                    else getattr(part, "__name__", repr(part))
                )
        told = ("dataset", "labelset", "shuffle", "seed", *(["log_dir"] if self.given.log_dir is None else []))
        words = [f"{name}={value!r}" for name, value in shown.items() if name not in told]
        return ", ".join([self.described_data, *words])


def resolve(given: IndexedArguments) -> ItemOptions:
    """Fill in what the options of a DataLoader leave open, and check what depends on others or on the dataset.

    Raises:
      TypeError, ValueError: as DataLoader says.
    """
    source = _source(given.dataset, given.labelset)
    world, world_source = resolve_world(given.world)
    _check_shared_out_once(source, world, world_source)
    plan = ItemPlan(
        sampler=_checked_sampler(given.sampler, len(source), given.shuffle, given.seed),
        batch_size=given.batch_size,
        last_batch=_checked_rule(given.last_batch, given.num_epochs, world.size),
        rank=world.rank,
        world_size=world.size,
        key_seed=checked_integer("seed", given.seed, at_least=0) if takes_keys(given.transform) else None,
    )
    if plan.steps_per_epoch == 0:
        raise ValueError(
            f"{len(source):,} items make no batch of {plan.global_batch_size:,} with last_batch='drop': "
            f"make batch_size smaller, or write last_batch='wrap'"
        )
    transform, collate = batch_functions(
        given.transform,
        given.datacollator,
        is_pair=given.labelset is not None,
        is_streams=isinstance(source, NamedStreams),
    )
    num_workers = given.num_workers if isinstance(given.num_workers, int) else _own_workers(given, source)
    check_workers(given.worker_kind, num_workers)
    return ItemOptions(
        given=given,
        source=source,
        transform=transform,
        collate=collate,
        plan=plan,
        num_workers=num_workers,
        max_skipped=checked_max_skipped(given.max_skipped, [len(source)], of="items")[0],
        world=world,
        world_source=world_source,
    )


def _own_workers(given: IndexedArguments, source: Dataset[Any]) -> int:
    """Return how many workers there are where the number is not given."""
    parts = (*_within(source), given.transform, given.datacollator)
    if given.worker_kind == "thread" and not all(map(is_thread_safe, parts)):
        return 1
    # More threads than processors gather no faster, and get into each other's way.
    return min(_NUM_WORKERS, num_processors())


def item_notes(options: ItemOptions) -> RunNotes:
    """Return what a loader of items notes in a log."""
    names = ("batch_size", "worker_kind", "prefetch_size")
    about = {
        "steps_per_epoch": options.plan.steps_per_epoch,
        "num_epochs": options.given.num_epochs,
        "threads": dict.fromkeys(STAGES, max(1, options.num_workers)),
        "options": {**{name: getattr(options.given, name) for name in names}, "num_workers": options.num_workers},
    }
    return RunNotes(about, options.counters, lambda: options.skipped)


def _source(dataset: Any, labelset: Any) -> Dataset[Any]:
    """Return what batches are taken from, as one dataset."""
    if labelset is not None:
        if isinstance(dataset, Mapping):
            raise TypeError("labelset goes with one dataset; beside several by name, give it a name: {..., 'label': y}")
        source: Dataset[Any] = NamedStreams({"data": dataset, "label": labelset})
    elif hasattr(dataset, "batch") and not hasattr(dataset, "__len__"):
        raise TypeError(
            "a Batcher makes batches, and has no items: DataLoaderBuilder(batcher).batch_size(2).build(dataset)"
        )
    else:
        source = NamedStreams(dataset) if isinstance(dataset, Mapping) else as_dataset(dataset)
    if len(source) == 0:
        raise ValueError(f"{_described(dataset)} has no items: there is nothing to load")
    return source


def _described(dataset: Any) -> str:
    if isinstance(dataset, Mapping):
        return f"{{{', '.join(f'{name!r}: {_described(one)}' for name, one in dataset.items())}}}"
    return f"{type(dataset).__name__} of {len(dataset):,}"


def _checked_sampler(sampler: Any, length: int, shuffle: bool, seed: int) -> Sampler:
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
    if rule == "span" and num_epochs is not None:
        raise ValueError('last_batch="span" needs num_epochs=None: its epochs do not end between two batches')
    if rule == "keep" and world_size > 1:
        raise ValueError(
            f'last_batch="keep" would give {world_size} ranks short batches of different sizes: write "drop", "pad" or '
            f'"wrap"'
        )
    return rule


def _check_shared_out_once(source: Dataset[Any], world: World, world_source: str) -> None:
    """Raise where a rank's own part of a dataset would be shared out among the ranks once more."""
    if world.size == 1 or world_source == "as given":
        return
    for dataset in _within(source):
        if isinstance(dataset, ShardedDataset):
            raise ValueError(
                f"the dataset is one of its shards, and world='auto' found rank {world.rank} of {world.size} "
                f"({world_source}): that shard would be shared out once more. Write world=None, or give the whole "
                "dataset"
            )


def _within(dataset: Any) -> Iterator[Any]:
    """Yield a dataset and those that it is made of."""
    yield dataset
    for part in [getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())]:
        if isinstance(part, Dataset):
            yield from _within(part)
