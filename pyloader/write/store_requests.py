"""Requests to a store that take long: those for a finished chunk, and many at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pyloader.deliver.engines import CallError, as_finished, opened_engine
from pyloader.errors import ObjectExistsError, SplitError
from pyloader.files.store_writing import create_object
from pyloader.write.outputs import StorePlace

__all__ = ["at_the_same_time", "store_chunk"]

_REQUESTS = 8  # at the same time, of those that no task makes


def store_chunk(place: StorePlace, path: Path, name: str) -> None:
    """Create the object, or the objects, of a chunk; what is there already must be the same.

    Raises:
      SplitError: another chunk of that name is there.
      StoreError: it cannot be written.
    """
    files = {f"{name}/{file.name}": file for file in sorted(path.iterdir())} if path.is_dir() else {name: path}
    for key, file in files.items():
        try:
            create_object(place.store, key, file.read_bytes())
        except ObjectExistsError as exc:
            what = "is there already, and holds other bytes: what was begun there before came to others."
            hint = "Give the same command again; --encode and --where must depend on nothing but the rows"
            raise SplitError(place.address.of(key), what, hint) from exc


def at_the_same_time(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> None:
    """Call a function with each of these arguments, in a few threads; the first error in their order is raised."""
    try:
        with opened_engine("thread", _REQUESTS) as engine:
            for _ in as_finished(engine, function, ((None, call) for call in calls), max_ahead=2 * _REQUESTS):
                pass
    except CallError as exc:
        raise exc.error from exc.error.__cause__
