"""Requests to a store that take long: those for a finished chunk, and many at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pyloader.deliver.engines import CallError, as_finished, opened_engine
from pyloader.errors import ObjectExistsError, SplitError
from pyloader.files.store_writing import create_object
from pyloader.write.outputs import StorePlace

__all__ = ["at_the_same_time", "check_sizes", "store_chunk"]

_REQUESTS = 8  # at the same time, of those that no task makes
# The most bytes that a store takes in one request.  An object that only comes to be if it is not there is one request:
# of several, what comes last would be written over what is there.
_MOST_BYTES = {"s3": 5 * 2**30, "az": 5000 * 2**20, "gs": 5 * 2**40}


def check_sizes(place: StorePlace, chunks: Mapping[str, Path]) -> None:
    """Raise where an object of a finished chunk is larger than the store takes; the chunks by their names there.

    Raises:
      SplitError: so it is.
    """
    most = _MOST_BYTES.get(place.address.scheme)
    for name, path in chunks.items():
        for key, file in _objects(name, path).items():
            if most is not None and (size := file.stat().st_size) > most:
                what = f"has {size:,} bytes, and {place.address.scheme}:// takes at most {most:,} in one request."
                raise SplitError(place.address.of(key), what, "Make smaller chunks: --chunk-bytes 1GB, or chunk_bytes=")


def store_chunk(place: StorePlace, path: Path, name: str) -> None:
    """Create the object, or the objects, of a chunk; what is there already must be the same.

    Raises:
      SplitError: another chunk of that name is there, or the chunk is larger than the store takes.
      StoreError: it cannot be written.
    """
    check_sizes(place, {name: path})
    for key, file in _objects(name, path).items():
        try:
            create_object(place.store, key, file.read_bytes())
        except ObjectExistsError as exc:
            what = "is there already, and holds other bytes: what was begun there before came to others."
            hint = "Give the same command again; --encode and --where must depend on nothing but the rows"
            raise SplitError(place.address.of(key), what, hint) from exc


def _objects(name: str, path: Path) -> dict[str, Path]:
    """Return the files of a chunk by what they are called in the store."""
    return {f"{name}/{file.name}": file for file in sorted(path.iterdir())} if path.is_dir() else {name: path}


def at_the_same_time(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> None:
    """Call a function with each of these arguments, in a few threads; the first error in their order is raised."""
    try:
        with opened_engine("thread", _REQUESTS) as engine:
            for _ in as_finished(engine, function, ((None, call) for call in calls), max_ahead=2 * _REQUESTS):
                pass
    except CallError as exc:
        raise exc.error from exc.error.__cause__
