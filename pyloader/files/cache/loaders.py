"""Loaders that share a cache: each says what it needs at once, and what it reads next."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial

import numpy as np

from pyloader.errors import CacheError
from pyloader.files.cache.bound import overhead_bytes, remove_leftovers, take_room
from pyloader.files.cache.directory import CacheDirectory
from pyloader.files.cache.fetching import Fill, Pinned, fetched, pinned
from pyloader.files.cache.identity import Identity, room_of_files
from pyloader.files.cache.plans import Plan, PlanFile, live_plans, plan_bytes
from pyloader.files.cache.waiting import Wait
from pyloader.options import format_bytes

__all__ = ["CacheUser", "register"]

_OTHERS = "Close the others, or give this loader a cache of its own: cache_dir=..."


class CacheUser:
    """A loader that uses a cache, from `register` to `close`; its threads may share it.

    It pins at most as many entries at once as it has registered: then each loader can have what it needs.

    Attributes:
      bound: How many bytes the cache may hold.
    """

    def __init__(self, directory: CacheDirectory, bound: int, plan: PlanFile) -> None:
        self._directory, self.bound, self._plan = directory, bound, plan

    def find(self, identity: Identity) -> Pinned | None:
        """Return an entry if it is there, without waiting."""
        return pinned(self._directory, identity)

    def has(self, identity: Identity) -> bool:
        """Tell whether an entry is there; it may have to be compared before it is used."""
        return (self._directory.entries / identity.name).exists()

    def get(self, identity: Identity, fill: Fill, *, wait: Wait, deadline_seconds: float = 60) -> Pinned:
        """Return an entry; when it is not there, `fill` fetches it.

        Args:
          identity: What is wanted.
          fill: Called with the path to fetch into: a file at its full length, or a directory of such.  It may take as
            long as it wants.  It returns the checksum if it has computed it, as `checksum_of` gives it, else None.
          wait: Waits so many seconds, and tells whether the loader was closed meanwhile: `threading.Event.wait`.
          deadline_seconds: How long to wait for other processes while nothing moves there; 60 by default.

        Raises:
          ClosedError: closed while waiting.
          StallError: another process does not get on.
          WriteError: the disk is full.
          Exception: what `fill` raises; what it has fetched is removed.
        """
        return fetched(self._directory, self.bound, identity, fill, wait=wait, deadline_seconds=deadline_seconds)

    def foresee(self, keys: np.ndarray, *, first: int) -> None:
        """Say what is read next, so that the entry goes first whose next use is farthest.

        Exact eviction needs the rest of this epoch and the whole next one, and is told anew when an epoch begins.
        Where there is no room for the plan (8 bytes a read), nothing is foreseen.

        Args:
          keys: uint64 array: `Identity.key` of the reads `first`, `first` + 1, ...
          first: Which read that is, counted from the beginning of the run.
        """
        with self._directory.held():
            self._plan.foresee(keys[:0], first=first)
            plans = live_plans(self._directory.plans)
            more = room_of_files(plan_bytes(len(keys))) - room_of_files(plan_bytes(0))
            if _claimed(plans) + more <= self.bound:  # else plans would take what loaders must be able to hold
                write = partial(self._plan.foresee, keys, first=first)
                take_room(self._directory, self.bound, more, write, plans=plans)

    def advance(self, position: int) -> None:
        """Say that all reads before the `position`-th are done."""
        self._plan.advance(position)

    def close(self) -> None:
        """Give back what was registered; does nothing the second time, and in a forked child."""
        self._plan.close()


def register(
    directory: CacheDirectory, *, fetches: int, readers: int, largest: int, bound: int | None = None
) -> CacheUser:
    """Register a loader: it can always hold what it fetches and reads at once.

    Args:
      directory: The cache's.
      fetches: How many entries it fetches at once.
      readers: How many others it pins at once, because they are read or wait for that.
      largest: The bytes of its largest entry.
      bound: How many bytes the cache may hold.  None keeps what the directory says; a new one gets half of what is
        free on its disk, or what this loader needs, if that is more.

    Raises:
      CacheError: the cache cannot hold what all loaders need at once, or its bound cannot be changed now.
      WriteError: the disk is full.
    """
    room = room_of_files(largest)
    needed = (fetches + readers) * room
    arithmetic = f"(fetches: {fetches} + readers: {readers}) x {format_bytes(room)} = {format_bytes(needed)}"
    with directory.held():
        plans = live_plans(directory.plans)
        own_plan = room_of_files(plan_bytes(0))
        total = needed + _claimed(plans) + own_plan
        settled = _settled_bound(directory, bound, total, plans)
        if total > settled:
            raise _too_small(directory, settled, total, arithmetic, plans)
        if settled != directory.bound():
            directory.set_bound(settled)
        remove_leftovers(directory)
        made: list[PlanFile] = []
        plan = partial(PlanFile, directory.plans, needed)
        take_room(directory, settled, own_plan, lambda: made.append(plan()), counts=True)
    if not made:
        raise CacheError(f"{directory.root}", f"has no room: all of its {format_bytes(settled)} are in use.", _OTHERS)
    return CacheUser(directory, settled, made[0])


def _claimed(plans: Sequence[Plan]) -> int:
    return sum(plan.needed for plan in plans) + overhead_bytes(plans)


def _settled_bound(directory: CacheDirectory, wanted: int | None, needed: int, plans: Sequence[Plan]) -> int:
    known = directory.bound()
    if wanted is not None and plans and known is not None and wanted != known:
        who = ", ".join(sorted({f"process {plan.process}" for plan in plans}))
        what = f"has cache_bytes={known:,}, and is used by {who}; this loader has cache_bytes={wanted:,}."
        raise CacheError(f"{directory.root}", what, f"Write cache_bytes={known}, or leave it out, or close the others")
    if wanted is not None:
        return wanted
    return known if known is not None else max(shutil.disk_usage(directory.root).free // 2, needed)


def _too_small(directory: CacheDirectory, bound: int, total: int, arithmetic: str, plans: Sequence[Plan]) -> CacheError:
    needed = sum(plan.needed for plan in plans)
    others = f", and {len(plans)} others {format_bytes(needed)}" if plans else ""
    what = f"may hold cache_bytes={bound:,}, and this loader needs {arithmetic} at once{others}."
    return CacheError(f"{directory.root}", what, _OTHERS if plans else f"Write cache_bytes={total} or more")
