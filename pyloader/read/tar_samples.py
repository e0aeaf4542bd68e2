"""The samples of a tar archive: of each column, which samples have it, and where its bytes lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyloader.read.tar_members import Member
from pyloader.read.tar_runs import MemberRun

__all__ = ["Files", "SampleTable"]


class Files(NamedTuple):
    """The files of one extension, in their order: int64 arrays of one length."""

    rows: np.ndarray  # which sample each belongs to
    begins: np.ndarray  # where in the archive its first header begins
    starts: np.ndarray  # where its bytes begin
    stops: np.ndarray  # where they end


class SampleTable:
    """Takes the members of an archive in their order, one by one or many at a time: those of one key are a sample.

    Attributes:
      keys: Of each sample.
      begins: Where the first header of each sample begins.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.begins: list[int] = []
        self._columns: dict[str, int] = {}  # extension, in small letters -> its number
        self._numbers: dict[bytes, int] = {}  # as extensions are written
        self._single: list[tuple[int, int, int, int, int]] = []  # members that are in no piece yet
        self._pieces: list[np.ndarray] = []  # [5, files]: column, row, begin, start, stop

    def add(self, member: Member, key: str, extension: str) -> None:
        """Take one member."""
        if not self.keys or key != self.keys[-1]:
            self.keys.append(key)
            self.begins.append(member.begin)
        column = self._columns.setdefault(extension, len(self._columns))
        place = column, len(self.keys) - 1, member.begin, member.start, member.start + member.size
        self._single.append(place)

    def add_run(self, run: MemberRun, keys: np.ndarray) -> None:
        """Take many members, each of which has a key and an extension behind its first dot.

        Args:
          run: The members.
          keys: Of each, in bytes.
        """
        self._join_single()
        last = self.keys[-1].encode("utf-8", "surrogateescape") if self.keys else None
        is_new = np.append(keys[0] != last, keys[1:] != keys[:-1])
        rows = len(self.keys) - 1 + np.cumsum(is_new)
        self.keys += [key.decode("utf-8", "surrogateescape") for key in keys[is_new].tolist()]
        self.begins += run.begins[is_new].tolist()
        names = run.names.view(f"S{run.names.shape[1]}")[:, 0].tolist()
        ends = np.char.str_len(keys).tolist()
        extensions = [name[end + 1 :] for name, end in zip(names, ends, strict=True)]
        for extension in set(extensions) - self._numbers.keys():
            column = extension.decode("utf-8", "surrogateescape").lower()
            self._numbers[extension] = self._columns.setdefault(column, len(self._columns))
        columns = np.fromiter(map(self._numbers.__getitem__, extensions), np.int64, len(extensions))
        self._pieces.append(np.stack([columns, rows, run.begins, run.starts, run.starts + run.sizes]))

    def files(self) -> dict[str, Files]:
        """Return the files of each extension."""
        self._join_single()
        if not self._pieces:
            return {}
        columns, *places = np.concatenate(self._pieces, axis=1)
        order = np.argsort(columns, kind="stable")
        bounds = np.searchsorted(columns[order], np.arange(len(self._columns) + 1)).tolist()
        return {
            name: Files(*(place[order[start:stop]] for place in places))
            for name, start, stop in zip(self._columns, bounds, bounds[1:], strict=False)
        }

    def _join_single(self) -> None:
        if self._single:
            self._pieces.append(np.array(self._single, np.int64).T)
            self._single = []
