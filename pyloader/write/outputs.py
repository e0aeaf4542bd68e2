"""Where chunks go: a directory, or an address of a store, which has a work directory on this disk meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pyloader.errors import PyLoaderError
from pyloader.files.stores import Address, Store, open_store

__all__ = ["Output", "OutputBelow", "StorePlace", "shown_as"]


class StorePlace:
    """An address with its options, as it is sent to workers.

    Args:
      address: The address.
      options: The `storage_options`.
    """

    def __init__(self, address: Address, options: Mapping[str, Any] | None) -> None:
        self.address, self._options = address, options

    @cached_property
    def store(self) -> Store:
        """The store, opened once in a process."""
        return open_store(self.address, storage_options=self._options)

    def below(self, name: str) -> StorePlace:
        """Return the place of a directory right below this one, or this one itself for ""."""
        path = f"{self.address.path}/{name}".strip("/")
        return StorePlace(dataclasses.replace(self.address, path=path), self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "store"}

    def __repr__(self) -> str:
        return f"StorePlace({str(self.address)!r})"


class Output:
    """A directory for chunks, and what is done with it while one is written; a directory on a disk is what it is.

    Attributes:
      root: The directory; of an address its work directory.
      shown: What it is called: the directory, or the address.
      place: The address; None where chunks go to the directory itself.
      before: The command that had begun something at that address; None where nothing was begun.
    """

    place: StorePlace | None = None
    before: str | None = None

    def __init__(self, root: Path, shown: str) -> None:
        self.root, self.shown = root, shown

    def will_write(self, outputs: Iterable[str]) -> None:
        """Remove from the place what is not in the directory any more; chunks of `outputs` are about to come."""

    def publish(self) -> None:
        """Bring the manifests of the directory to the place, and what belongs to them."""

    def has_chunk(self, name: str, num_bytes: int) -> bool:
        """Tell whether a chunk was in the place when this began, of that size."""
        return False

    def delete_chunks(self, names: Iterable[str]) -> None:
        """Remove chunks from the place."""

    def put_chunks(self, chunks: Mapping[str, Path]) -> None:
        """Bring finished chunks to the place, each under a name, and leave sparse files here.

        Raises:
          SplitError: another is there.
        """

    def fetch(self, names: Iterable[str]) -> None:
        """Bring chunks from the place to the directory."""


class OutputBelow(Output):
    """A directory right below another, with a set of chunks of its own.

    Args:
      whole: The other one.
      name: Its name there; "" is the other one itself.
    """

    def __init__(self, whole: Output, name: str) -> None:
        super().__init__(whole.root / name, f"{whole.shown}/{name}" if name else whole.shown)
        self._whole, self._name = whole, name
        self.place = None if whole.place is None else whole.place.below(name)

    def will_write(self, outputs: Iterable[str]) -> None:
        self._whole.will_write([self._name])

    def has_chunk(self, name: str, num_bytes: int) -> bool:
        return self._whole.has_chunk(self._of(name), num_bytes)

    def delete_chunks(self, names: Iterable[str]) -> None:
        self._whole.delete_chunks(map(self._of, names))

    def fetch(self, names: Iterable[str]) -> None:
        self._whole.fetch(map(self._of, names))

    def _of(self, name: str) -> str:
        return f"{self._name}/{name}" if self._name else name


@contextmanager
def shown_as(shown: Mapping[str, str]) -> Iterator[None]:
    """Have errors name places as users know them: path -> what they know it as."""

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            for path, name in shown.items():
                value = value.replace(path, name)
        return value

    try:
        yield
    except (PyLoaderError, KeyboardInterrupt) as exc:
        vars(exc).update({name: renamed(value) for name, value in vars(exc).items()})
        exc.args = tuple(map(renamed, exc.args))
        raise
