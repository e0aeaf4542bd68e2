"""How to read what `pyloader peek` saw, in lines that run as they are shown, and what to expect of training on it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyloader.cli.screens import counted, python_text
from pyloader.collate import NumpyDataCollator, PaddingDataCollator
from pyloader.columns import Column, Columns, column_specs
from pyloader.datareader import DataReader
from pyloader.errors import CollateError
from pyloader.inspecting.peeking import Peek
from pyloader.options import format_bytes
from pyloader.packing import PackedColumnsError, Packing, pack_columns
from pyloader.plan import Dealing, Streams, planned_variety, steps_per_epoch
from pyloader.ragged import Ragged
from pyloader.run.loader_options import MAX_QUEUE_SIZE, SHUFFLE_WINDOW

__all__ = ["Way", "expectations", "way_to_read"]

_NUMBERS = {"int", "float", "bool", "object"}  # kinds of a list's values; "object" can be int and float
_PLAIN = {"str", "bytes", "dict", "list"}
_SURELY_SORTED = 0.25  # variety below which three chunks that were shuffled do not fall by chance
_WIDE_WINDOW = 64  # chunks; mixes much more
_USUAL_ROW = 2048  # tokens of a packed row
_AS_THEY_ARE = "class AsTheyAre(DataCollator): collate_batch = staticmethod(dict)"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to read samples into batches."""

    lines: tuple[str, ...]  # what to write
    batch: tuple[str, ...]  # what each column of a batch is then, in words
    packed: tuple[str, ...] = ()  # what to write where documents of tokens are packed instead; () where there are none


def way_to_read(
    sight: Peek,
    path: str,
    *,
    batch_size: int,
    ranks: int,
    reader: type[DataReader] | None = None,
    call: str = "",
    cache_dir: str | None = None,
) -> Way:
    """Return how to read what was seen.

    Args:
      sight: What was seen.
      path: Where, as the user wrote it.
      batch_size: Samples a batch.
      ranks: Training processes.
      reader: The class of the reader, where it has to be given.
      call: What makes it.
      cache_dir: Where chunks of a store are kept, where that was said.
    """
    names, before = ["DataLoader"], []
    options = [f"datareader={call}"] if reader is not None else []
    options += [f"data_dir={python_text(path)}", f"batch_size={batch_size}", "shuffle=True"]
    options += [] if cache_dir is None or sight.chunks.stored is None else [f"cache_dir={python_text(cache_dir)}"]
    options += ['last_batch="drop"'] if ranks > 1 else []
    gaps = set(_columns_with_gaps(sight))
    rows = {name: _with_nan(values) if name in gaps else values for name, values in sight.rows.items()}
    said = _kinds_said(sight)
    several = any(spec.kind in _PLAIN and said.get(spec.name) == "object" for spec in column_specs(sight.rows))
    batch = None if several or _lists_differ(sight) else _collated(NumpyDataCollator(), rows)
    if batch is None and not several and (batch := _collated(PaddingDataCollator(pad_value=0), rows)) is not None:
        names.append("PaddingDataCollator")
        options.append("datacollator=PaddingDataCollator(pad_value=0)")
    if batch is None:  # numbers beside text, or lists of unequal depth: only the user knows what they should become
        gaps, batch = set(), sight.rows
        names.insert(0, "DataCollator")
        before.append(_AS_THEY_ARE)
        options.append("datacollator=AsTheyAre()")
    if gaps:
        options.append('nulls="nan"')
    if reader is not None:
        module = "pyloader.read" if reader.__module__.startswith("pyloader.read.") else reader.__module__
        before.insert(0, f"from {module} import {reader.__qualname__.partition('.')[0]}")
    imports = [f"from pyloader import {', '.join(names)}"] if len(names) > 1 or before else []
    lines = (*imports, *before, f"DataLoader({', '.join(options)})")
    words = tuple(_describe_batch(sight.rows, batch, batch_size))
    return Way(lines=lines, batch=words, packed=_packed_lines(sight.rows, options, before))


def _packed_lines(rows: Columns, options: list[str], before: list[str]) -> tuple[str, ...]:
    """Return what to write where documents are packed; () where there are none."""
    packing = _packing(rows)
    if packing is None:
        return ()
    is_usual = packing == Packing(length=packing.length)
    call = [option for option in options if not option.startswith(("datacollator=", "nulls="))]
    call += [f"pack={packing.length if is_usual else packing!r}"]
    imports = [] if is_usual else ["from pyloader import DataLoader, Packing"]
    return (*imports, *(line for line in before if line != _AS_THEY_ARE), f"DataLoader({', '.join(call)})")


def _packing(rows: Columns) -> Packing | None:
    """Return how rows of integers of unequal length, which are documents of tokens, are packed; None without any."""
    documents = {
        name: values
        for name, values in rows.items()
        if isinstance(values, Ragged) and not values.is_bytes and values.dtype.kind in "iu"
    }
    if not documents:
        return None
    column = "tokens" if "tokens" in documents else min(documents)
    lengths = documents[column].lengths
    unlike = {
        name
        for name, values in rows.items()
        if not (isinstance(values, Ragged) and not values.is_bytes and np.array_equal(values.lengths, lengths))
    }
    packing = Packing(length=_USUAL_ROW, column=column, drop=tuple(sorted(unlike)))
    try:
        pack_columns(rows, packing, None)
    except PackedColumnsError:
        return None
    return packing


def _kinds_said(sight: Peek) -> dict[str, str]:
    """Return what the manifest says of all chunks, column -> kind; {} where there is none."""
    manifest = sight.chunks.manifest
    return {} if manifest is None else {spec.name: spec.kind for spec in manifest.columns}


def _columns_with_gaps(sight: Peek) -> Iterator[str]:
    """Yield the columns of numbers that are lists, since there is None among them, here or in another chunk."""
    said = _kinds_said(sight)
    for name, values in sight.rows.items():
        if isinstance(values, list):
            kinds = set(map(type, values)) - {type(None)}
            has_gap = bool(kinds) and any(value is None for value in values)
            if kinds <= {int, float, bool} and (has_gap or said.get(name) in _NUMBERS):
                yield name


def _with_nan(values: Column) -> Column:
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except OverflowError:
        return values


def _lists_differ(sight: Peek) -> bool:
    """Whether the manifest says that rows of numbers are lists: in some chunk they are not of one length."""
    for name in [name for name, kind in _kinds_said(sight).items() if kind == "list"]:
        batch = _collated(PaddingDataCollator(), {name: sight.rows.get(name, [])})
        if batch is not None and isinstance(batch[name], np.ndarray):
            return True
    return False


def _collated(collator: Any, rows: Columns) -> Columns | None:
    """Return the batch of all rows; None where some batch of them, in some order, cannot be made."""
    try:
        batch: Columns = collator.collate_batch({name: _numbers_first(values) for name, values in rows.items()})
    except (CollateError, OverflowError):
        return None
    return batch


def _numbers_first(values: Column) -> Column:
    """What a column holds goes by its first value: numbers beside text show only where they come first."""
    if not isinstance(values, list):
        return values
    return sorted(values, key=lambda value: isinstance(value, str | bytes | dict))


def _describe_batch(rows: Columns, batch: Columns, batch_size: int) -> Iterator[str]:
    for spec, raw in zip(column_specs(batch), column_specs(rows), strict=True):
        if spec.kind != "array":
            yield f"{spec.name}: list of {batch_size} {spec.kind or 'None'}"
            continue
        shape: list[Any] = [batch_size, *spec.item_shape]
        values = rows[spec.name]
        if raw.kind in ("list", "ragged") and len({len(row) for row in values}) > 1:
            shape[1] = f"up to {shape[1]}"
        yield f"{spec.name}: {np.dtype(spec.dtype).name} [{', '.join(map(str, shape))}]"


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
        if way.packed:
            yield from zip(["or packed", *[""] * len(way.packed)], way.packed, strict=False)
            yield "", "for language models: rows full of documents, and no padding"
        if sight.num_samples is not None:
            yield "steps", "   ".join(_steps(sight.num_samples, batch_size, ranks, exact=sight.is_counted))
            resident = min(MAX_QUEUE_SIZE, len(sight.chunks))
            size = format_bytes(resident * _chunk_bytes(sight))
            are = f"{'is' if resident == 1 else 'are'} about {size}{' on each rank' if ranks > 1 else ''}"
            yield "memory", f"{counted(resident, 'chunk')} (max_queue_size={MAX_QUEUE_SIZE}) {are}"
    yield from _warnings(sight, batch_size, ranks)
    if sight.chunks.manifest is None and len(sight.chunks) == 1:
        split = f"pyloader split {shlex.quote(path)} chunks/{said}{' --shuffle' if sight.sorted_columns else ''}"
        yield "next" if _is_large_dump(sight) else "or split", split


def _is_large_dump(sight: Peek) -> bool:
    """Whether it is one file, too large to be a chunk that one would train on as it is."""
    return (
        sight.chunks.stored is None and sight.chunks.manifest is None and len(sight.chunks) == 1 and not sight.is_whole
    )


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


def _warnings(sight: Peek, batch_size: int, ranks: int) -> Iterator[tuple[str, str]]:
    for column in sight.sorted_columns:
        equal, chance = column.equal_neighbours or 0, column.equal_by_chance or 0
        yield "warning", f"{column.name}: {equal:.0%} of neighbours are equal; in random order, {chance:.0%}."
        if _is_large_dump(sight):
            yield "", "Split with --shuffle, or batches will hold one class."
        elif column.name in sight.spreads:
            yield "", f"{_variety(sight, column.name, batch_size, ranks)[1]}"
        if not _is_large_dump(sight):
            yield "", _remedy(sight)
    known = {column.name for column in sight.sorted_columns}
    for name in sorted(sight.spreads.keys() - known) if not _is_large_dump(sight) else ():
        share, words = _variety(sight, name, batch_size, ranks)
        if share < _SURELY_SORTED:
            yield "warning", f"{name}: chunks differ in what they hold of it. {words}"
            yield "", _remedy(sight)


def _variety(sight: Peek, name: str, batch_size: int, ranks: int) -> tuple[float, str]:
    """Return the variety of a column in batches over all ranks, and the same in words."""
    chunks, size = sight.chunks, batch_size * ranks
    counts = np.full(len(chunks), (sight.num_samples or 0) // len(chunks)) if chunks.counts is None else chunks.counts
    streams = Streams(
        counts=counts,
        num_streams=1,
        share=size,
        served=range(1),
        dealing=Dealing(len(chunks), SHUFFLE_WINDOW * ranks),
        last_batch="keep",
        chunk_seed=0,
        row_seed=0,
    )
    share = planned_variety(sight.spreads[name], streams)
    samples = counted(max(1, round(share * size)), "sample")
    batch = f"a batch of {size:,}" + (f" over {ranks} ranks" if ranks > 1 else "")
    return share, f"With a window of {SHUFFLE_WINDOW} {batch} is as varied in it as {samples} of a full shuffle."


def _remedy(sight: Peek) -> str:
    window = min(_WIDE_WINDOW, len(sight.chunks))
    if window <= SHUFFLE_WINDOW:
        return "Split again with --shuffle."
    needs = format_bytes((window + 1) * _chunk_bytes(sight))
    return f"Split again with --shuffle, or use shuffle_window={window}, max_queue_size={window + 1} ({needs})."
