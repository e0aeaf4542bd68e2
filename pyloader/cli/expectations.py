"""What to expect of training on what `pyloader peek` saw: a batch, the steps, the memory, and what to be warned of."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyloader.cli.reading import Way
from pyloader.cli.screens import counted
from pyloader.inspecting.peeking import Peek
from pyloader.options import format_bytes
from pyloader.plan import steps_per_epoch
from pyloader.run.loader_options import MAX_QUEUE_SIZE, SHUFFLE_WINDOW

__all__ = ["expectations"]

_WIDE_WINDOW = 64  # chunks; mixes much more


def expectations(
    sight: Peek, path: str, way: Way, *, batch_size: int, ranks: int, said: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the lines of the screen, each a label and a text.

    Args:
      sight: What was seen.
      path: Where, as the user wrote it.
      way: How to read it.
      batch_size: Samples a batch on each rank.
      ranks: Training processes.
      said: How the files are read, as options of a command, after a space; "" when the user did not say.
    """
    if not _is_large_dump(sight):
        yield from zip(["to read", *[""] * len(way.lines)], way.lines, strict=False)
        yield "", f"a batch: {'   '.join(way.batch)}"
        if sight.num_samples is not None:
            yield "steps", "   ".join(_steps(sight.num_samples, batch_size, ranks, exact=sight.is_counted))
            resident = min(MAX_QUEUE_SIZE, len(sight.chunks))
            size = format_bytes(resident * _chunk_bytes(sight))
            are = f"{'is' if resident == 1 else 'are'} about {size}{' on each rank' if ranks > 1 else ''}"
            yield "memory", f"{counted(resident, 'chunk')} (max_queue_size={MAX_QUEUE_SIZE}) {are}"
    yield from _warnings(sight)
    if sight.chunks.manifest is None and len(sight.chunks) == 1:
        split = f"pyloader split {shlex.quote(path)} chunks/{said}{' --shuffle' if sight.sorted_columns else ''}"
        yield "next" if _is_large_dump(sight) else "or split", split


def _is_large_dump(sight: Peek) -> bool:
    """Whether it is one file, too large to be a chunk that one would train on as it is."""
    return sight.chunks.manifest is None and len(sight.chunks) == 1 and not sight.is_whole


def _steps(num_samples: int, batch_size: int, ranks: int, *, exact: bool) -> Iterator[str]:
    about = "" if exact else "about "
    if ranks == 1:
        rest = num_samples % batch_size if exact else 0
        last = f", the last one of {counted(rest, 'sample')}" if rest else ""
        yield f"{about}{steps_per_epoch(num_samples, batch_size, 'keep'):,} an epoch{last}"
        return
    shortest, longest = num_samples // ranks, -(-num_samples // ranks)
    dropped = steps_per_epoch(shortest, batch_size, "drop")
    padded = steps_per_epoch(longest, batch_size, "pad")
    yield f'{about}{dropped:,} an epoch on each of {ranks} ranks with last_batch="drop"'
    if padded != dropped:
        yield f'{about}{padded:,} with "pad" or "wrap"'


def _chunk_bytes(sight: Peek) -> float:
    """About how many bytes of memory a chunk takes: the largest, which the bound is counted in; else an average one."""
    counts = sight.chunks.counts
    return sight.row_bytes * ((sight.num_samples or 0) / len(sight.chunks) if counts is None else int(counts.max()))


def _warnings(sight: Peek) -> Iterator[tuple[str, str]]:
    for column in sight.sorted_columns:
        equal, chance = column.equal_neighbours or 0, column.equal_by_chance or 0
        yield "warning", f"{column.name}: {equal:.0%} of neighbours are equal; in random order, {chance:.0%}."
        if _is_large_dump(sight):
            yield "", "Split with --shuffle, or batches will hold one class."
            continue
        window = min(_WIDE_WINDOW, len(sight.chunks))
        wide = ""
        if window > SHUFFLE_WINDOW:
            needs = format_bytes((window + 1) * _chunk_bytes(sight))
            wide = f", or use shuffle_window={window}, max_queue_size={window + 1} ({needs})"
        mixed = min(column.num_different or 0, SHUFFLE_WINDOW * len(set(sight.rows[column.name])))
        yield "", f"A window of {SHUFFLE_WINDOW} chunks mixes about {mixed:,} of its values."
        yield "", f"Split again with --shuffle{wide}."
