"""User code: the functions of a run that call the user's methods, here or in other processes, with retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pyloader.columns import Column, Columns, concatenate_columns
from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader, read_chunk, read_damaged_chunk
from pyloader.dataset import Dataset
from pyloader.deliver import RemoteFunction, Retries, Steps
from pyloader.encode import encode_batch, encode_sources
from pyloader.errors import CollateError
from pyloader.files import as_listed, room_of
from pyloader.observe import Counters
from pyloader.packing import Packing, sequence_bounds, unpacked_batch
from pyloader.part import Part, part_name
from pyloader.plan import encode_generator
from pyloader.read import Nulls
from pyloader.run.encoding import Encode, Encoded, EncodeEach, RawBatch
from pyloader.run.options import RunOptions
from pyloader.run.reading import Read
from pyloader.run.transient import is_transient

__all__ = ["Held", "user_functions"]

# A chunk's index -> the path of it on this machine, where it stays inside of a `with`.
Held: TypeAlias = "Callable[[int], AbstractContextManager[str]]"
_RowsRead: TypeAlias = "tuple[Columns, dict[int, str]]"
_ReadFile: TypeAlias = "Callable[[int, str, Part | None], _RowsRead]"  # of a source


def user_functions(
    options: RunOptions, held: Held, steps: Steps, counters: Counters
) -> tuple[Read, Encode, EncodeEach]:
    """Return the functions that read a chunk, by its index, that encode and collate a batch, and that do several.

    `held(index)` is where a chunk is, inside of a `with`; `steps` ends what they start.

    Raises:
      TypeError: the user's objects cannot be sent to other processes; the message names the part that cannot.
    """
    read: _ReadFile = partial(_read, options.readers, options.skips, options.max_bytes)
    seed = options.seed if "rng" in options.drawn else None
    encode: Encode = partial(
        _encode_and_collate,
        options.packing,
        options.datasets or options.dataset,
        options.collator,
        seed,
        options.streams.served[0],
    )
    encode_each: EncodeEach = partial(_encode_each, _converting(encode, options.convert))
    if options.in_processes:
        readers = [type(reader).__name__ for reader, _ in options.readers]
        makers = " and ".join(
            type(part).__name__ for part in (options.dataset, *options.datasets, options.collator) if part is not None
        )
        read = steps.add_awaited(
            RemoteFunction(read, doing=lambda source, *file: f"{readers[source]} read {_named(*file)}")
        )
        encode = remote = steps.add_awaited(
            RemoteFunction(encode, doing=lambda raw: f"{makers} made epoch {raw.epoch}, step {raw.step}")
        )
        encode_each = partial(_send_each, remote, options.convert)
    return _careful(options, held, read, steps, counters), _converting(encode, options.convert), encode_each


def _careful(options: RunOptions, held: Held, read: _ReadFile, steps: Steps, counters: Counters) -> Read:
    """Return the function that has a chunk here, compares it with its size and checksum, and reads it.

    It tries again what may pass.
    """

    def count() -> None:
        counters.num_retries += 1

    retries = steps.add_awaited(Retries(waits=options.retry_waits, may_pass=is_transient, count=count))
    chunks, verification = options.chunks, options.verification

    def read_index(index: int) -> _RowsRead:
        number = 1
        while True:
            try:
                with held(index) as path:
                    if verification is not None:
                        verification.check(index, path)
                    with as_listed(chunks, index, path):
                        return read(options.source_of(index), path, chunks.part(index))
            except Exception as exc:
                if not retries.wait_after(exc, number, f"reading {chunks.path(index)}"):
                    raise
            number += 1

    return read_index


def _read(
    readers: Sequence[tuple[DataReader, Nulls | None]],
    skips: bool,
    max_bytes: int | None,
    source: int,
    path: str,
    part: Part | None,
) -> _RowsRead:
    reader, nulls = readers[source]
    with room_of(max_bytes):
        try:
            columns, bad_rows = read_chunk(reader, path, part), dict[int, str]()
        except Exception:
            damaged = read_damaged_chunk(reader, path, part) if skips else None
            if damaged is None:
                raise
            columns, bad_rows = damaged
        return (columns if nulls is None else nulls.filled(path, columns)), bad_rows


def _named(path: str, part: Part | None) -> str:
    return path if part is None else part_name(path, part)


def _converting(encode: Encode, convert: Callable[[Any], Any] | None) -> Encode:
    """Return `encode`, with `convert` done here to what it answers."""
    return encode if convert is None else lambda raw: _converted(encode(raw), convert)


def _converted(encoded: Encoded, convert: Callable[[Any], Any]) -> Encoded:
    batch, (encoding, collating) = encoded
    begun = time.perf_counter()
    return convert(batch), (encoding, collating + time.perf_counter() - begun)


def _encode_each(encode: Encode, raws: Sequence[RawBatch]) -> tuple[list[Encoded], BaseException | None]:
    encoded: list[Encoded] = []
    for raw in raws:
        try:
            encoded.append(encode(raw))
        except Exception as exc:
            return encoded, exc
    return encoded, None


def _send_each(
    remote: RemoteFunction[Encoded], convert: Callable[[Any], Any] | None, raws: Sequence[RawBatch]
) -> tuple[list[Encoded], BaseException | None]:
    encoded, error = remote.each([(raw,) for raw in raws])
    if convert is None:
        return encoded, error
    converted: list[Encoded] = []
    for batch in encoded:
        try:
            converted.append(_converted(batch, convert))
        except Exception as exc:
            return converted, exc
    return converted, error


def _encode_and_collate(
    packing: Packing | None,
    dataset: Dataset | tuple[Dataset | None, ...] | None,
    collator: DataCollator,
    seed: int | None,
    stream: int,
    raw: RawBatch,
) -> Encoded:
    """Return a batch, and how many seconds encoding and collating took.

    It is a function of the batch and its place alone, so that any process gives the same.

    Args:
      packing: How its rows are packed; None where they are not.
      dataset: Encodes the batch, or the rows of each source; None leaves it raw.
      collator: Collates it.
      seed: What `batch_encode`'s `rng` is derived from; None when it takes none.
      stream: The first stream that this rank serves, so that ranks draw other numbers.
      raw: The batch.
    """
    begun = time.perf_counter()
    columns, bounds = raw.columns, dict[str, Column]()
    parts = raw.parts
    if packing is not None and parts:
        parts = tuple((source, unpacked_batch(rows, packing)) for source, rows in parts)
        segments = concatenate_columns([{"segment_ids": rows["segment_ids"]} for _, rows in parts])
        bounds = sequence_bounds(segments, packing)
    elif packing is not None:
        columns = unpacked_batch(columns, packing)
        bounds = sequence_bounds(columns, packing)
    # Made anew for each batch: what one batch draws must not move the next one's numbers.
    rng = None if seed is None else encode_generator(seed=seed, epoch=raw.epoch, step=raw.step, stream=stream)
    if isinstance(dataset, tuple):
        columns = encode_sources(dataset, parts, rng, raw.keys)
    elif dataset is not None:
        columns = encode_batch(dataset, columns, rng, raw.keys)
    encoded = time.perf_counter()
    batch = _collate(collator, {**columns, **bounds}, {"mask": raw.mask, "source": raw.sources})
    return batch, (encoded - begun, time.perf_counter() - encoded)


def _collate(collator: DataCollator, columns: Columns, ours: dict[str, np.ndarray | None]) -> Any:
    """Return a batch with what is added to it: the mask of last_batch="pad", the source of a mixture's rows."""
    added: Columns = {name: values for name, values in ours.items() if values is not None}
    if not added:
        return collator.collate_batch(columns)
    batch = collator.collate_batch({**columns, **added})
    if not isinstance(batch, dict):
        who = "last_batch='pad'" if "mask" in added else "with_source=True"
        what = f"{type(collator).__name__}.collate_batch returned a {type(batch).__name__}"
        raise CollateError(f"{who} adds {' and '.join(map(repr, added))} to each batch, and {what}.", "Return a dict")
    for name, values in added.items():
        batch.setdefault(name, values)
    return batch
