"""User code: the functions of a run that call the user's methods, here or in other processes, and again if need be."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from pyloader.columns import Columns
from pyloader.datareader import DataReader, read_chunk, read_damaged_chunk
from pyloader.deliver import RemoteFunction, Retries, Steps
from pyloader.files import as_listed, room_of
from pyloader.observe import Counters
from pyloader.read import Nulls
from pyloader.run.encoding import encode_and_collate
from pyloader.run.making import Encode
from pyloader.run.options import RunOptions
from pyloader.run.reading import Read
from pyloader.run.transient import is_transient

__all__ = ["user_functions"]

_RowsRead: TypeAlias = "tuple[Columns, dict[int, str]]"


def user_functions(options: RunOptions, steps: Steps, counters: Counters) -> tuple[Read, Encode]:
    """Return the functions that read a chunk, by its index, and that encode and collate a batch.

    `steps` ends what they start.

    Raises:
      TypeError: the user's objects cannot be sent to other processes; the message names the part that cannot.
    """
    read: Callable[[str], _RowsRead] = partial(_read, options.reader, options.nulls, options.skips, options.max_bytes)
    seed = options.seed if "rng" in options.drawn else None
    encode: Encode = partial(encode_and_collate, options.dataset, options.collator, seed, options.streams.served[0])
    if options.in_processes:
        reader = type(options.reader).__name__
        makers = " and ".join(type(part).__name__ for part in (options.dataset, options.collator) if part is not None)
        read = steps.add_awaited(RemoteFunction(read, doing=lambda path: f"{reader} read {path}"))
        encode = steps.add_awaited(
            RemoteFunction(
                encode, doing=lambda _columns, _mask, _keys, epoch, step: f"{makers} made epoch {epoch}, step {step}"
            )
        )
    return _careful(options, read, steps, counters), _converting(encode, options.convert)


def _careful(options: RunOptions, read: Callable[[str], _RowsRead], steps: Steps, counters: Counters) -> Read:
    """Return the function that compares a chunk with its size and checksum, reads it, and tries again what may pass."""

    def count() -> None:
        counters.num_retries += 1

    retries = steps.add_awaited(Retries(waits=options.retry_waits, may_pass=is_transient, count=count))
    chunks, verification = options.chunks, options.verification

    def read_index(index: int) -> _RowsRead:
        path, number = chunks.path(index), 1
        while True:
            try:
                if verification is not None:
                    verification.check(index)
                with as_listed(chunks, index):
                    return read(path)
            except Exception as exc:
                if not retries.wait_after(exc, number, f"reading {path}"):
                    raise
            number += 1

    return read_index


def _read(reader: DataReader, nulls: Nulls | None, skips: bool, max_bytes: int | None, path: str) -> _RowsRead:
    with room_of(max_bytes):
        try:
            columns, bad_rows = read_chunk(reader, path), dict[int, str]()
        except Exception:
            damaged = read_damaged_chunk(reader, path) if skips else None
            if damaged is None:
                raise
            columns, bad_rows = damaged
        return (columns if nulls is None else nulls.filled(path, columns)), bad_rows


def _converting(encode: Encode, convert: Callable[[Any], Any] | None) -> Encode:
    """Return `encode`, with `convert` done here to what it answers."""
    if convert is None:
        return encode

    def encode_and_convert(
        columns: Columns, mask: np.ndarray | None, keys: np.ndarray | None, epoch: int, step: int
    ) -> tuple[Any, tuple[float, float]]:
        batch, (encoding, collating) = encode(columns, mask, keys, epoch, step)
        begun = time.perf_counter()
        return convert(batch), (encoding, collating + time.perf_counter() - begun)

    return encode_and_convert
