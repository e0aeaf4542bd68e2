"""A loader as torch's IterableDataset: for code that insists on a torch.utils.data.DataLoader."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from pyloader.dataloader import DataLoader
from pyloader.errors import ForkError, StateError
from pyloader.run.adapters import LoaderAdapter

__all__ = ["LoaderDataset", "as_iterable_dataset"]

_log = logging.getLogger("pyloader")

# Where the next torch worker begins, when it is no number of steps.
_WHERE_IT_STANDS = -1
_UNKNOWN = -2


class LoaderDataset(LoaderAdapter[Any], IterableDataset[Any]):
    """A loader as an IterableDataset of whole batches; what `as_iterable_dataset` returns."""

    def __init__(self, loader: DataLoader) -> None:
        if not isinstance(loader, DataLoader):
            raise TypeError(f"as_iterable_dataset takes a pyloader.DataLoader, not a {type(loader).__name__}")
        super().__init__(loader, _as_it_is)
        # Seen by all torch workers: a new one is a copy of this process's dataset, which has delivered nothing.
        self._next_start = torch.tensor(_WHERE_IT_STANDS).share_memory_()
        self._was_told = torch.tensor(False).share_memory_()

    def __iter__(self) -> Any:
        worker = get_worker_info()
        if worker is not None and worker.id > 0:
            return iter(())
        if worker is not None:
            self._check_process()
            if worker.num_workers > 1 and not self._was_told:
                self._was_told.fill_(True)
                _log.warning(
                    "of torch's %d workers one yields all batches; pyloader reads ahead in threads of its own: "
                    "write num_workers=0",
                    worker.num_workers,
                )
        start = int(self._next_start)
        if start == _UNKNOWN:
            raise StateError(
                "torch's worker processes forget where an epoch ended, and how many batches it has is not known.",
                "Write num_workers=0, or give the loader num_epochs= and its chunks a manifest: pyloader index DIR",
            )
        if start != _WHERE_IT_STANDS:
            self._go_to_run_end(start)
        self._next_start.fill_(_WHERE_IT_STANDS if worker is None else self._run_end())
        super().__iter__()
        return self if worker is None else self._batches()

    def __getstate__(self) -> dict[str, Any]:
        shared = {"_next_start": self._next_start, "_was_told": self._was_told}
        return {"loader": self._loader, "state": self._delivered().state, "shared": shared}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        LoaderAdapter.__init__(self, pickled["loader"], _as_it_is)
        if self._delivered().state != pickled["state"]:  # a batch had been looked at
            LoaderAdapter._load(self, pickled["state"])
        self.__dict__.update(pickled["shared"])

    def state_dict(self) -> dict[str, Any]:
        """Return what the loop has received, as small JSON; torch's StatefulDataLoader saves and loads it by itself.

        Raises:
          StateError: torch's worker processes have the loader, and read ahead of the loop.
        """
        if get_worker_info() is None and self._next_start != _WHERE_IT_STANDS:
            what = "torch's worker processes read ahead, and this process does not know what the loop has received."
            raise StateError(
                what, "Write num_workers=0, or use torchdata's StatefulDataLoader and save its state_dict()"
            )
        return super().state_dict()

    def _load(self, state: dict[str, Any]) -> None:
        worker = get_worker_info()
        if worker is None or worker.id == 0:
            self._next_start.fill_(_WHERE_IT_STANDS)
        super()._load(state)

    def _reset(self) -> None:
        self._next_start.fill_(_WHERE_IT_STANDS)
        super()._reset()

    def _go_to_run_end(self, num_steps: int) -> None:
        super()._reset()
        self._loader._skip(num_steps)
        next(self._loader, None)  # the end of that run
        self._drop_ahead()

    def _batches(self) -> Iterator[Any]:
        while (batch := next(self, self)) is not self:
            yield batch

    def _run_end(self) -> int:
        """Return how many steps are done at the end of the run that is about to begin, or to go on."""
        try:
            steps = len(self._loader)
        except TypeError:
            return _UNKNOWN
        num_epochs = steps // self._loader.steps_per_epoch
        run: int = self._loader.get_epoch() // num_epochs
        return (run + 1) * steps

    def _check_process(self) -> None:
        run = self._loader._run
        try:
            if run is not None:
                run.steps.check_process()
        except ForkError as exc:
            what = "torch has forked a worker from a process in which the loader had begun to read."
            hint = 'Write num_workers=0, or multiprocessing_context="spawn", or begin with torch\'s DataLoader'
            raise ForkError(what, hint) from exc


def _as_it_is(batch: Any) -> Any:
    return batch


def as_iterable_dataset(loader: DataLoader) -> LoaderDataset:
    """Return `loader` as a torch IterableDataset, for torch.utils.data.DataLoader(dataset, batch_size=None).

    Its items are the loader's batches, so torch is told to make none of them (batch_size=None).  It has
    `state_dict`, `load_state_dict`, `steps_done`, `epochs_done`, `peek`, `stats`, `reset` and `close`, of the batch
    last handed to the loop; ask it in place of the loader.

    torch's workers (num_workers=1 and more) are not needed: the loader reads ahead by itself.  With several, one yields
    all batches, and says so once.  With workers each `for` is the loader's next run, whether or not the one before came
    to its end, and only torchdata's StatefulDataLoader knows what the loop has received.

    Raises:
      TypeError: `loader` is no pyloader.DataLoader.
    """
    return LoaderDataset(loader)
