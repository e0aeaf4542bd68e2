"""The laws, checked on a loader with the user's own parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest import SkipTest

from pyloader.testing.endings import check_endings, check_parked, check_scripts
from pyloader.testing.failures import check_ctrl_c, check_damage, check_errors, check_flaky_reads
from pyloader.testing.order import (
    MakeLoader,
    check_exactly_once,
    check_parts,
    check_processes,
    check_same_batches,
)
from pyloader.testing.resuming import check_kills, check_ranks, check_resume

__all__ = ["LOADER_CHECKS", "check_loader"]

# In an order in which the first to fail says most.
LOADER_CHECKS: tuple[Callable[[MakeLoader], None], ...] = (
    check_parts,
    check_exactly_once,
    check_same_batches,
    check_processes,
    check_resume,
    check_ranks,
    check_errors,
    check_ctrl_c,
    check_flaky_reads,
    check_damage,
    check_parked,
    check_endings,
    check_scripts,
    check_kills,
)


def check_loader(
    make_loader: MakeLoader, *, checks: Sequence[Callable[[MakeLoader], None]] = LOADER_CHECKS
) -> dict[str, str]:
    """Assert that a loader with the user's own reader, dataset and collator keeps the laws.

    Give it a small dataset: a few chunks, some thousand rows at most.  It is read some hundred times, at most 30 steps
    each, and once or twice as a whole; scripts are started, slowed down, interrupted and killed.

    >>> from functools import partial
    >>> check_loader(partial(DataLoader, Problems(), data_dir="sample/", batch_size=8))  # doctest: +SKIP

    Args:
      make_loader: Gives a new loader each time, and passes the options that it is called with on to DataLoader.
      checks: Which of them; in pytest, each can be a test of its own.

    Returns:
      For each check "kept", or why it was left out.

    Raises:
      AssertionError: a law is broken; the message says which, and how.
    """
    found = {}
    for check in checks:
        try:
            check(make_loader)
            found[check.__name__] = "kept"
        except SkipTest as exc:  # which pytest takes as a skipped test
            found[check.__name__] = f"left out: {exc}"
    return found
