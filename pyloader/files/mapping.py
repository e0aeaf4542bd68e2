"""Mapped files, which are kept: the next epoch wants them again."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from pyloader.machine.limits import open_files_share

__all__ = ["MappedFiles"]

_Identity = tuple[int, int, int, int]

_all_mapped: list[weakref.ref[MappedFiles]] = []  # of this process


class MappedFiles:
    """Mappings of files, by path; those that were used longest ago are let go of first.

    A new mapping costs a page fault for every 64 KiB that are read of it, and its end as much again: together about as
    long as gathering its rows.  A file that has been changed or replaced is mapped anew.  Several threads may use one.
    A copy made by pickle begins with none.

    Args:
      max_files: How many are kept, each an open file, by all of the process together; None keeps a quarter of what it
        may have open.
    """

    def __init__(self, max_files: int | None = None) -> None:
        self._max_files = open_files_share() if max_files is None else max_files
        self._kept: OrderedDict[str, tuple[_Identity, np.ndarray]] = OrderedDict()
        for known in list(_all_mapped):
            if known() is None:
                with contextlib.suppress(ValueError):  # another thread has removed it
                    _all_mapped.remove(known)
        _all_mapped.append(weakref.ref(self))

    def __reduce__(self) -> tuple[type[MappedFiles], tuple[int]]:
        return MappedFiles, (self._max_files,)

    def array(self, path: str, map_file: Callable[[str], np.ndarray]) -> np.ndarray:
        """Return what `map_file` returned for this file as it is now, mapping it when that is not kept."""
        status = os.stat(path)
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        kept = self._kept.pop(path, None)  # and back to the end: no other thread sees it half way
        if kept is None or kept[0] != identity:
            kept = identity, map_file(path)
        self._kept[path] = kept
        mapped = [known() for known in list(_all_mapped)]
        if sum(len(each._kept) for each in mapped if each is not None) > self._max_files:
            with contextlib.suppress(KeyError):  # other threads have taken the last ones
                self._kept.popitem(last=False)
        return kept[1]
