"""Laws 2 and 3 on a user's loader: its parts give the same answers, whoever asks, and each row comes once."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeAlias
from unittest import SkipTest

import numpy as np

from pyloader.columns import Columns, row_count
from pyloader.datacollator import DataCollator
from pyloader.dataloader import DataLoader
from pyloader.datareader import read_chunk
from pyloader.encode import encode_batch, taken_by
from pyloader.errors import MissingDependencyError, import_optional
from pyloader.plan import row_keys
from pyloader.testing.faults import SlowReads, altered
from pyloader.testing.laws import assert_same_batches, batch_difference, broken
from pyloader.testing.numbering import numbered, places_here, rows_of, where
from pyloader.testing.readers import assert_same_columns

__all__ = ["MAX_STEPS", "MakeLoader", "check_exactly_once", "check_parts", "check_processes", "check_same_batches"]

# Gives a new loader each time, and passes the options that it is called with on to DataLoader.
MakeLoader: TypeAlias = Callable[..., DataLoader]

MAX_STEPS = 30


def check_parts(make_loader: MakeLoader) -> None:
    """Assert that reader, dataset and collator answer the same when they are asked the same again (law 3).

    The first, the middle and the last chunk are read twice, and the first two batches encoded and collated in turn.
    """
    with make_loader(num_workers=0) as loader:
        run = loader._options.run
    places = places_here(run.chunks)
    for index in sorted({0, len(run.chunks) // 2, len(run.chunks) - 1}):
        place, name = places[index], type(run.reader).__name__
        said = f"{name} read {run.chunks.path(index)} twice"
        try:
            assert_same_columns(read_chunk(run.reader, *place), read_chunk(run.reader, *place), said)
        except AssertionError as exc:
            raise broken(3, f"{exc}. read_file must be a function of path alone") from exc

    with altered(make_loader(num_workers=0), dataset=None, collator=_Raw()) as loader:
        batches: list[Columns] = list(islice(loader, 2))
    encode = _encoding(run.dataset)
    if run.dataset is not None:
        _assert_repeats(encode, batches, f"{type(run.dataset).__name__}.batch_encode")
    _assert_repeats(
        run.collator.collate_batch, list(map(encode, batches)), f"{type(run.collator).__name__}.collate_batch"
    )


def check_same_batches(make_loader: MakeLoader) -> None:
    """Assert that two runs, threads, one that only reads ahead, and a slow disk deliver the same batches (law 3)."""
    wanted = _batches(make_loader(num_workers=0))
    again = "In another run with the same seed, in one thread"
    assert_same_batches(_batches(make_loader(num_workers=0)), wanted, 3, again)
    threads = {"num_workers": 2, "num_readers": 2, "worker_kind": "thread"}
    several = "Two threads that read and two that encode were used instead of one"
    assert_same_batches(_batches(make_loader(**threads)), wanted, 3, several)
    ahead = {"num_workers": 0, "num_readers": 1, "worker_kind": "thread"}
    assert_same_batches(_batches(make_loader(**ahead)), wanted, 3, "One thread read ahead")
    slow = make_loader(**threads)
    slow = altered(slow, reader=SlowReads(slow._options.run.reader))
    assert_same_batches(_batches(slow), wanted, 3, "Each chunk took 10 ms longer to read")


def check_processes(make_loader: MakeLoader) -> None:
    """Assert that worker_kind="process" delivers the same batches (law 3)."""
    try:
        import_optional("cloudpickle", wanted_by="worker_kind='process'")
    except MissingDependencyError as exc:
        raise SkipTest(str(exc)) from exc
    wanted = _batches(make_loader(num_workers=0, worker_kind="thread"))
    found = _batches(make_loader(num_workers=2, worker_kind="process"))
    assert_same_batches(found, wanted, 3, "Processes were used instead of one thread")


def check_exactly_once(make_loader: MakeLoader) -> None:
    """Assert that each row of the chunks comes once in each of two epochs, less and more what last_batch says (law 2).

    The chunks are all read: give it a small dataset.
    """
    loader = numbered(make_loader(num_workers=0, num_epochs=1, world=None))
    run = loader._options.run
    reads = (read_chunk(run.reader, *place) for place in places_here(run.chunks))
    total = sum(len(next(iter(read.values()), ())) for read in reads)
    for epoch in range(2):
        dropped, filled = loader.stats().dropped, loader.stats().filled
        times = Counter(number for rows in rows_of(list(loader)) for number in rows)
        dropped, filled = loader.stats().dropped - dropped, loader.stats().filled - filled
        repeated = [number for number, count in times.items() if count > 1]
        if len(repeated) > (filled if run.rule.last_batch == "wrap" else 0):
            raise broken(2, f"epoch {epoch} delivered {where(loader, repeated[0])} {times[repeated[0]]} times")
        if len(times) + dropped != total:
            what = f"epoch {epoch} delivered {len(times):,} rows and dropped {dropped:,}, of {total:,} in the chunks"
            raise broken(2, f"{what}. read_file must give the same rows each time")


def _batches(loader: DataLoader) -> list[Any]:
    with loader:
        return list(islice(loader, MAX_STEPS))


def _encoding(dataset: Any) -> Callable[[Columns], Columns]:
    if dataset is None:
        return lambda columns: columns

    def encode(columns: Columns) -> Columns:
        drawn: dict[str, Any] = {
            "rng": np.random.Generator(np.random.PCG64(0)),
            "keys": row_keys(np.arange(row_count(columns)), seed=0, epoch=0),
        }
        return encode_batch(dataset, columns, **{name: drawn[name] for name in taken_by(dataset)})

    return encode


def _assert_repeats(function: Callable[[Columns], Any], batches: list[Columns], name: str) -> None:
    """Assert that a function answers the first batch as before, after it has seen others."""
    first, *_, again = [copy.deepcopy(function(copy.deepcopy(batch))) for batch in [*batches, batches[0]]]
    if differs := batch_difference(again, first):
        what = f"{name} gave two answers for the same batch: {differs}"
        remedy = (
            "Let it depend on its columns alone, and draw random numbers from rng or keys: batch_encode(columns, rng)"
        )
        raise broken(3, f"{what}. {remedy}")


class _Raw(DataCollator):
    """Leaves a batch as it was read."""

    def collate_batch(self, columns: Columns) -> Columns:
        return {name: values for name, values in columns.items() if name != "mask"}
