"""What `pyloader index` says at its end."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from pyloader.cli.readers import reader_call
from pyloader.cli.screens import as_block, counted, one_line, python_text
from pyloader.files import ChunkEntry, Manifest
from pyloader.files.stores import printable
from pyloader.inspecting.counting import Count
from pyloader.options import format_bytes
from pyloader.read import registered_reader

__all__ = ["index_screen"]

_UNEQUAL = 2  # times the median: from there on the largest chunk is worth a warning
_SHOWN = 4  # names in a line


def index_screen(
    arguments: argparse.Namespace,
    target: str,
    manifest: Manifest,
    count: Count,
    before: Manifest | str | None,
    *,
    ignored: Sequence[str],
    leftover: int,
) -> Iterable[str]:
    """Yield what the command says at its end.

    Args:
      arguments: Of the command.
      target: Where the manifest is.
      manifest: What it says.
      count: How that was found out.
      before: What was there before; "" for what could not be read.
      ignored: Files that are no chunks.
      leftover: How many tokens are in no window.
    """
    files = {chunk.source: chunk.source_bytes for chunk in manifest.chunks}
    cut = {chunk.source for chunk in manifest.chunks if chunk.as_part is not None}
    size = format_bytes(sum(files.values()))
    totals = f"{counted(len(manifest.chunks), 'chunk')}, {counted(manifest.num_samples, 'sample')}, {size}"
    how = "parts found" if len(cut) == len(files) else f"{count.method}, parts found" if cut else count.method
    how += f"; {'with' if arguments.checksums else 'no'} checksums"
    yield f"{one_line(target)}{' (not written)' if arguments.dry_run else ''}   {totals}   ({how})"
    seen = "in every chunk"
    if cut and count.num_judged < len(manifest.chunks):
        seen = f"in {count.num_judged:,} of {counted(len(manifest.chunks), 'chunk')}; --all reads every one"
    rows = [("columns", f"{', '.join(map(str, manifest.columns))}   ({seen})")]
    rows += [("parts", text) for text in _parts(manifest, count, len(cut), len(files))]
    if ignored:
        rows.append(("ignored", _some(ignored)))
    rows += [("warning", warning) for warning in _warnings(manifest, count)]
    if isinstance(before, Manifest) and [*map(_identity, before.chunks)] != [*map(_identity, manifest.chunks)] and cut:
        rows.append(("states", "those that were saved before are refused: the chunks are others now"))
    if leftover:
        rows.append(("warning", f"{leftover:,} tokens at the chunks' ends make no whole window, and are left out"))
    place = shlex.quote(printable(arguments.path))
    if arguments.dry_run:
        rows.append(("next", f"pyloader index {place} writes it"))
    else:
        data_dir = printable(arguments.path) if not manifest.root else target
        own = registered_reader(manifest.reader) is None
        words = f"{f'datareader={reader_call(arguments)}, ' if own else ''}data_dir={python_text(data_dir)}"
        rows.append(("next", f"several ranks, len() and exact steps now work: DataLoader({words}, ...)"))
        if own:
            rows.append(("", f"pyloader peek {shlex.quote(data_dir)} --reader {shlex.quote(arguments.reader)}"))
    yield as_block(rows, label_width=8)


def _identity(chunk: ChunkEntry) -> tuple[str, int]:
    """What the fingerprint of a set has of a chunk."""
    return chunk.file, chunk.num_bytes


def _parts(manifest: Manifest, count: Count, num_cut: int, num_files: int) -> Iterable[str]:
    """Say how files were cut, and which large ones were not."""
    memory = format_bytes(count.largest_bytes)
    if num_cut and (sizes := manifest.part_sizes) is not msgspec.UNSET:
        samples = sizes.chunk_samples
        size = format_bytes(sizes.chunk_bytes) if samples is None else counted(samples, "sample")
        yield f"{num_cut:,} of {counted(num_files, 'file')} cut, into parts of about {size}, up to {memory} in memory"
        if samples is not None and (most := max(chunk.num_samples for chunk in manifest.chunks)) > samples:
            yield f"the largest has {counted(most, 'sample')}, since what is unpacked together is not cut"
    if count.whole:
        stays = f"{_some(count.whole)} {'is one chunk' if len(count.whole) == 1 else 'are one chunk each'}"
        yield f"{stays}, up to {memory} in memory: " + (
            "as before; cut by --overwrite --chunk-bytes 64MiB"
            if count.could_be_cut
            else "pyloader split makes several"
        )


def _warnings(manifest: Manifest, count: Count) -> Iterable[str]:
    empty = [chunk.file for chunk in manifest.chunks if not chunk.num_samples]
    if empty:
        yield f"{_some(empty)} {'is' if len(empty) == 1 else 'are'} empty"
    counts = np.array([chunk.num_samples for chunk in manifest.chunks if chunk.num_samples], np.int64)
    if counts.max() > _UNEQUAL * np.median(counts):
        largest = format_bytes(count.largest_bytes)
        yield f"chunks hold {counts.min():,} to {counts.max():,} samples: the largest needs about {largest} in memory"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
