"""Law 4 on a user's loader: it goes on after every step, again and again, killed, and on other ranks."""

from __future__ import annotations

import json
import signal
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import SkipTest

from pyloader.testing.faults import kill_at_step
from pyloader.testing.laws import assert_same_batches, broken
from pyloader.testing.numbering import numbered, rows_of
from pyloader.testing.order import MAX_STEPS, MakeLoader
from pyloader.testing.scripts import in_child
from pyloader.world import World

__all__ = ["check_kills", "check_ranks", "check_resume"]

_LARGEST_STATE = 2048  # bytes


def check_resume(make_loader: MakeLoader) -> None:
    """Assert that a fresh loader, given the state after step k, goes on with the next, for each k (law 4).

    And that loaders which resume from each other, some steps each, make up the uninterrupted run.
    """
    states, batches = [], []
    with make_loader(num_workers=0) as loader:
        states.append(_through_json(loader.state_dict()))
        for batch in islice(loader, MAX_STEPS):
            batches.append(batch)
            states.append(_through_json(loader.state_dict()))
    for step, state in enumerate(states):
        with make_loader(num_workers=step % 3) as fresh:
            fresh.load_state_dict(state)
            rest = list(islice(fresh, len(batches) - step))
        what = f"A fresh loader was given the state after {step} steps"
        assert_same_batches(rest, batches[step:], 4, what, first=step)

    found: list[Any] = []
    state = states[0]
    while len(found) < len(batches):
        with make_loader(num_workers=0) as loader:
            loader.load_state_dict(state)
            found += islice(loader, min(1 + len(found) % 3, len(batches) - len(found)))
            state = _through_json(loader.state_dict())
    assert_same_batches(found, batches, 4, "Loaders resumed from each other, again and again")


def check_ranks(make_loader: MakeLoader) -> None:
    """Assert that one rank and two have the same rows over all in each step, also when they change on the way (law 4).

    `make_loader` must pass on `world`, `batch_size` and `last_batch`.
    """
    with make_loader(num_workers=0) as loader:
        run = loader._options.run
    if run.chunks.counts is None:
        raise SkipTest(f"several ranks need counts: pyloader index {run.chunks.place}")
    share = run.rule.batch_size
    if run.max_skipped:
        raise SkipTest("max_skipped does not go with several ranks")
    if int(run.chunks.counts.sum()) < 4 * share:
        raise SkipTest(f"two steps of two ranks need {4 * share:,} samples")

    def ranks(size: int, state: dict[str, Any] | None) -> list[Any]:
        queue = 2 * run.streams.window + 2
        last_batch = "drop" if run.rule.last_batch == "keep" else run.rule.last_batch
        options = {"num_workers": 0, "last_batch": last_batch, "max_queue_size": max(queue, run.max_queue_size)}
        worlds = [World(rank, size, 2 if state is None else None) for rank in range(size)]
        loaders = [numbered(make_loader(world=world, batch_size=2 * share // size, **options)) for world in worlds]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        return loaders

    def steps(loaders: list[Any], most: int) -> list[list[int]]:
        met = zip(*(islice(loader, most) for loader in loaders), strict=True)
        return [[number for rows in rows_of(batches) for number in rows] for batches in met]

    wanted = steps(ranks(1, None), MAX_STEPS)
    assert_same_batches(steps(ranks(2, None), MAX_STEPS), wanted, 4, "Two ranks delivered what one had")
    half = len(wanted) // 2
    for before, after in ((1, 2), (2, 1)):
        loaders = ranks(before, None)
        steps(loaders, half)
        rest = steps(ranks(after, _through_json(loaders[0].state_dict())), len(wanted) - half)
        what = f"A run went on with {after} rank(s) where {before} had stopped"
        assert_same_batches(rest, wanted[half:], 4, what, first=half)


def check_kills(make_loader: MakeLoader) -> None:
    """Assert that a script which is killed again and again, by SIGKILL, makes up the uninterrupted run (law 4).

    `make_loader` is sent to other processes by cloudpickle.
    """
    with numbered(make_loader(num_workers=0)) as loader:
        wanted = rows_of(list(islice(loader, MAX_STEPS)))
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        log.touch()
        for stop in (len(wanted) // 3, 2 * len(wanted) // 3, len(wanted)):
            ending = in_child(partial(_killed_at, make_loader, log, stop))
            if ending.code != -signal.SIGKILL and not (stop == len(wanted) and ending.code == 0):
                raise broken(
                    5, f"a script that was to be killed at step {stop} ended with {ending.code}: {ending.errors}"
                )
        found, _ = _received(log)
    assert_same_batches(found[: len(wanted)], wanted, 4, "A script was killed twice and resumed")


def _killed_at(make_loader: MakeLoader, log: Path, stop: int) -> None:
    """Go on where the log ends, in a script, which is killed when the log has `stop` steps."""
    rows, state = _received(log)
    loader = numbered(make_loader())
    if state is not None:
        loader.load_state_dict(state)
    with open(log, "a", buffering=1) as lines:
        for batch in kill_at_step(loader, stop - len(rows)):
            lines.write(json.dumps([rows_of([batch])[0], loader.state_dict()]) + "\n")


def _received(log: Path) -> tuple[list[list[int]], dict[str, Any] | None]:
    """Return the rows of each step in a log, and the state after the last."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return [rows for rows, _ in entries], entries[-1][1] if entries else None


def _through_json(state: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(state)
    if len(text) > _LARGEST_STATE:
        raise broken(4, f"a state has {len(text):,} bytes")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
