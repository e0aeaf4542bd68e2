"""Run notes: the log of a run gets a line a second: the metrics, and what a page made of it says beside them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from pyloader.files import ChunkList
from pyloader.machine.limits import resident_bytes
from pyloader.observe import Counters, RunLog, metrics_of
from pyloader.run.adapters import HasPosition
from pyloader.run.loader_options import LoaderOptions

__all__ = ["RunNotes", "chunk_notes", "log_run"]

# A line stays short, however much there is to say.
_CHUNKS, _NAMES, _LEFT_OUT, _ALL_LEFT_OUT, _REASON_LENGTH = 32, 8, 10, 1000, 300


def log_run(loader: HasPosition, directory: str | os.PathLike[str], notes: RunNotes) -> None:
    """Write what a loader counts to a log, once a second.

    Raises:
      WriteError: nothing can be written there.
    """
    log = RunLog(directory, rank=loader.stats().rank, about={"loader": repr(loader), **notes.about})
    threads = dict(notes.about["threads"])
    has_others = False

    def note(outermost: HasPosition) -> None:
        nonlocal has_others
        stats, steps_done = outermost.stats(), outermost.steps_done
        metrics = metrics_of(stats, steps_done=steps_done, epochs_done=outermost.epochs_done)
        noted = {"verdict": stats.verdict, **metrics, **notes.note(steps_done - stats.num_steps)}
        now = {stage: stats.num_threads(stage) for stage in threads}
        has_others = has_others or now != threads
        if has_others:  # from then on in each line, so that whoever reads only the last ones knows it
            noted["threads"] = now
        log.note(noted)

    loader._observed(note, every_seconds=1.0)


class RunNotes:
    """What a loader notes each time that its log gets a line; it does not hold the loader.

    Args:
      about: What does not change during a run: it is in the first line.
      counters: What the loader counts with.
      reasons: Returns what was left out, with the reasons.
      chunks: The chunks; None for a loader of items.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        counters: Counters,
        reasons: Callable[[], Mapping[str, str]],
        chunks: ChunkList | None = None,
    ) -> None:
        self.about = about
        self._counters, self._reasons, self._chunks = counters, reasons, chunks
        self._noted: set[str] = set()  # what was left out, and has been noted

    def note(self, first_step: int) -> dict[str, Any]:
        """Return what is noted now.

        Args:
          first_step: The step of the loader's first batch, over all epochs.

        Returns:
          "chunks", the indices of those that the latest batch was mixed of; "slowest", the longest wait since the note
          before, with the names of its chunks; "left_out", what was left out since then, with the reasons;
          "process_bytes", the memory that the process has; and of a store "cache_bytes" and "cache_bytes_bound".
        """
        counters, chunks = self._counters, self._chunks
        noted: dict[str, Any] = {"chunks": counters.latest_chunks[:_CHUNKS]}
        if (slowest := counters.take_slowest()) is not None:
            files = [chunks.names[index] for index in slowest.chunks[-_NAMES:] if index >= 0] if chunks else []
            noted["slowest"] = {"step": first_step + slowest.step, "wait_seconds": slowest.seconds, "files": files}
        if left_out := self._newly_left_out():
            noted["left_out"] = left_out
        if (num_bytes := resident_bytes()) is not None:
            noted["process_bytes"] = num_bytes
        if chunks is not None and chunks.stored is not None:
            with contextlib.suppress(OSError):
                noted |= chunks.stored.room()
        return noted

    def _newly_left_out(self) -> dict[str, str]:
        room = min(_LEFT_OUT, _ALL_LEFT_OUT - len(self._noted))
        new = [(name, reason) for name, reason in self._reasons().items() if name not in self._noted]
        self._noted |= {name for name, _ in new[:room]}
        return {name: reason[:_REASON_LENGTH] for name, reason in new[:room]}


def chunk_notes(options: LoaderOptions, counters: Counters, reasons: Callable[[], Mapping[str, str]]) -> RunNotes:
    """Return what a loader of chunks notes."""
    run = options.run
    threads = {
        "read": max(1, run.num_readers),
        **dict.fromkeys(("shuffle", "encode", "collate"), max(1, run.num_workers)),
    }
    about = {
        "steps_per_epoch": options.steps_per_epoch,
        "num_epochs": options.given.num_epochs,
        "num_chunks": len(run.chunks.names),
        "threads": threads,
        "options": {
            "batch_size": run.rule.batch_size,
            "shuffle_window": run.streams.window,
            "num_workers": run.num_workers,
            "num_readers": run.num_readers,
            "worker_kind": run.worker_kind,
            "max_queue_size": run.max_queue_size,
            "max_bytes": run.max_bytes,
            "last_batch": run.rule.last_batch,
        },
    }
    return RunNotes(about, counters, reasons, run.chunks)
