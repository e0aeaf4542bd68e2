"""Arguments of the random-access DataLoader: each option's type, and its check, in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pyloader.datacollator import DataCollator
from pyloader.options import ELSEWHERE, checked_seconds
from pyloader.plan import ITEM_RULES, Sampler
from pyloader.run.arguments import Arguments, integer, threads, words
from pyloader.world import World

__all__ = ["IndexedArguments"]

_ELSEWHERE = {
    **ELSEWHERE,
    "collate_fn": "Write transform=, a function of a batch's rows, or subclass DataCollator for datacollator=",
    "prefetch_factor": "Write prefetch_size=4, in batches",
    "prefetch": "Write prefetch_size=4, in batches",
    "max_queue_size": "Write prefetch_size=4, in batches",
    "num_readers": "Workers read and make batches both: write num_workers=4",
    "batch_sampler": "Write sampler=, and batch_size=",
    "shuffle_window": "Every epoch is shuffled whole; leave it out",
    "buffer_size": "Every epoch is shuffled whole; leave it out",
    "shuffle_buffer_size": "Every epoch is shuffled whole; leave it out",
    "data_dir": "Write DataLoader(ChunkedDataset(data_dir)), or use pyloader.DataLoader",
    "datareader": "Write DataLoader(ChunkedDataset(data_dir, datareader=...)), or use pyloader.DataLoader",
    "quarantine": "loader.stats().skipped lists what was left out",
    "copy": "Batches are always copies; leave it out",
    "strides": "Every epoch has an order of its own; leave it out",
    "monitor": "Write progress=True, or look at loader.stats()",
    "key": "Write seed=7",
}


@dataclass(frozen=True, kw_only=True)
class IndexedArguments(Arguments):
    """The options of pyloader.indexed.DataLoader, which describes them."""

    elsewhere: ClassVar[Mapping[str, str]] = _ELSEWHERE

    dataset: Any
    labelset: Any
    num_workers: int | str | None = field(metadata=threads(at_least=0, or_none=True))
    batch_size: int = field(metadata=integer(at_least=1))
    prefetch_size: int = field(metadata=integer(at_least=0))
    shuffle: bool
    seed: int  # checked by what uses it
    transform: Callable[..., Any] | None
    num_epochs: int | None = field(metadata=integer(at_least=1, or_none=True))
    sampler: Sampler | None
    datacollator: DataCollator | None
    last_batch: str | None = field(metadata=words(*ITEM_RULES, or_none=True))
    worker_kind: str = field(metadata=words("thread", "process"))
    max_skipped: int | str
    stall_timeout_seconds: float | None = field(metadata={"check": checked_seconds})
    progress: bool
    world: World | tuple[int, int] | str | None
    starts_over: bool
    log_dir: str | os.PathLike[str] | None
