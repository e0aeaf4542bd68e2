"""What a split with `unique` does before and after all else: it finds the rows to be dropped, and keeps the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import xxhash

from pyloader.deliver.engines import Engine, as_finished
from pyloader.write.beginning import chunk_sets
from pyloader.write.duplicates import find_duplicates, put_keys_aside
from pyloader.write.job import Job, Terms
from pyloader.write.kept_keys import earlier_keys, keep_keys, keys_file
from pyloader.write.receipts import KeysReceipt
from pyloader.write.removing import output_directory
from pyloader.write.request import Request
from pyloader.write.unique import Dropped
from pyloader.write.units import Unit
from pyloader.write.work import Work, run_task

__all__ = ["KeyPass"]

_RANGE_BYTES = 2**25  # of the dump: their keys, in memory together, take less, unless rows are of a few bytes
_MAX_RANGES = 2**12
_RANGES_OF_A_PIPE = 2**8  # whose size nobody knows
_MAX_TASKS = 64  # that compare keys: each unit reads a file of each


class KeyPass:
    """Finds rows with the same key; without `unique` there is nothing to do.

    Args:
      request: What the user asked for.
      job: Receipts are noted here.
      terms: What the split was begun with.
      is_read_once: Whether the dump comes through a pipe: nobody knows whether the same comes twice.

    Attributes:
      part: What the keys of this split are called.
    """

    def __init__(self, request: Request, job: Job, terms: Terms, *, is_read_once: bool) -> None:
        self._columns, self._job, self.part = request.unique or (), job, terms.fingerprint
        self._is_read_once = is_read_once
        if is_read_once and terms.data_version > 1:  # the same command adds other rows each time
            self.part = xxhash.xxh3_64_hexdigest(f"{terms.fingerprint} {terms.data_version}".encode())
        self._root = request.root
        self._place = output_directory(self._root, request.outputs[0])

    def earlier(self) -> list[str]:
        """Return the splits whose rows, which are there already, count too, by their fingerprints.

        Raises:
          OutputDirError: rows are there whose keys nobody has kept.
        """
        found = chunk_sets(self._root) if self._columns else {}
        return earlier_keys(self._root, found, self._place, self._columns, part=self.part)

    def dropped(
        self,
        units: Iterable[Unit],
        work: Work | bytes,
        engine: Engine,
        raw_bytes: int,
        *,
        max_ahead: int,
        passed: Callable[[Unit], None],
    ) -> dict[str, Dropped]:
        """Run the tasks that have not been run before; return where each unit's rows are listed that are dropped.

        Args:
          units: The dump.
          work: What all tasks have in common.
          engine: Runs them.
          raw_bytes: Of the dump, unpacked.
          max_ahead: How many tasks are begun and not finished, at most.
          passed: Called for each unit whose keys are put aside.

        Raises:
          CallError: a task failed; its key is the unit, or a name where it compared keys.
        """
        known = [str(keys_file(self._place, part).absolute()) for part in self.earlier()]
        names: dict[str, str] = {}  # of units -> of their tasks
        num_buckets = min(_MAX_RANGES, max(1, raw_bytes // _RANGE_BYTES)) if raw_bytes else _RANGES_OF_A_PIPE

        def calls() -> Iterator[tuple[Unit, tuple[Any, ...]]]:
            for unit in units:
                names[unit.name] = name = unit.name.replace("unit", "keys", 1)
                if name in self._job.receipts and not self._is_read_once:
                    passed(unit)
                else:
                    yield unit, (put_keys_aside, work, name, unit, num_buckets)

        for unit, receipt in as_finished(engine, run_task, calls(), max_ahead=max_ahead):
            self._job.add(receipt)
            passed(unit)
        keys = [self._receipt(name) for name in names.values()]
        files, number = [file for receipt in keys for file in receipt.files], min(num_buckets, _MAX_TASKS)
        borders = [num_buckets * task // number for task in range(number + 1)]
        ranges = {f"drop-{task:06d}": (borders[task], borders[task + 1]) for task in range(number)}
        compared = (
            (name, (find_duplicates, work, name, files, known, *between))
            for name, between in ranges.items()
            if name not in self._job.receipts or self._is_read_once
        )
        for _, receipt in as_finished(engine, run_task, compared, max_ahead=max_ahead):
            self._job.add(receipt)
        found = tuple(next(iter(self._receipt(name).files)) for name in ranges)
        return {name: Dropped(found, index, keys[index].num_rows) for index, name in enumerate(names)}

    def keep(self) -> None:
        """Keep the keys that were new.

        Raises:
          WriteError: the disk is full.
        """
        if self._columns:
            found = sorted(name for name in self._job.receipts if name.startswith("drop-"))
            files = [file for name in found for file in self._receipt(name).files if file.endswith(".keys")]
            keep_keys(self._place, self.part, [self._job.made / file for file in files])

    def _receipt(self, name: str) -> KeysReceipt:
        found = self._job.receipts[name]
        assert isinstance(found, KeysReceipt)
        return found
