"""The door to where chunks go: a directory, or an address of a store, which is locked and has a work directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyloader.errors import OutputDirError
from pyloader.files import DirectoryLock, store_scheme
from pyloader.files.stores import parse_address
from pyloader.files.takes import Takes
from pyloader.write.outputs import Output, StorePlace, shown_as
from pyloader.write.scratch import writing_home

__all__ = ["output_at", "shown_place"]

_WRITTEN = ("s3", "gs", "az")


@contextlib.contextmanager
def output_at(
    output_dir: str | os.PathLike[str],
    *,
    command: str,
    storage_options: Mapping[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    takes: Takes = Takes(),  # noqa: B008 (frozen)
    adds: bool = True,
    with_keys: bool = False,
) -> Iterator[Output]:
    """Give the directory to write to; at an address of a store, nobody else writes there until the `with` ends.

    Args:
      output_dir: A directory, or an address.
      command: What is done, and can be gone on with by the same one; "" for what cannot.
      storage_options: Of the store.
      scratch_dir: Where the work directory of an address is made; None is ~/.cache/pyloader/writing.
      takes: Whose place is taken.
      adds: Whether what is there stays.
      with_keys: Whether the keys of rows are needed.

    Raises:
      OutputDirError: somebody else writes there, or has begun something.
      StoreError: the store cannot be asked, or cannot be written to.
    """
    given = shown_place(output_dir)
    if not store_scheme(given):
        yield Output(Path(given), str(Path(given)))
        return
    from pyloader.deliver.renewing import renewed  # what only stores need
    from pyloader.files.store_lock import RENEWED_EVERY_SECONDS, lock_store
    from pyloader.write.stored_outputs import StoredOutput, read_begun

    address = parse_address(output_dir)
    if address.scheme not in _WRITTEN:
        what = f"cannot be written: {address.scheme}:// is only read."
        raise OutputDirError(str(address), what, "Write to a directory, or to s3://, gs:// or az://")
    place = StorePlace(address, storage_options)
    home = writing_home(str(address), scratch_dir)
    shown = {str(home / "set"): str(address), str(home): str(address)}
    with shown_as(shown), contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, home)
        stack.callback(DirectoryLock(home).release)
        begun = read_begun(home)
        lock = lock_store(place.store, command=command, work="" if begun is None else begun.work, takes=takes)
        stack.enter_context(renewed(lock.renew, every_seconds=RENEWED_EVERY_SECONDS))
        output = StoredOutput(home, place, lock, adds=adds, with_keys=with_keys)
        try:
            output.begin(begun)
            yield output
        except BaseException:
            output.stop()
            raise
        output.end()


def shown_place(output_dir: str | os.PathLike[str]) -> str:
    """Return what a directory, or an address, is called; one of file:// is a directory.

    Raises:
      StoreError: it is no address, though it looks like one.
    """
    if not store_scheme(output_dir):
        return os.fspath(output_dir)
    address = parse_address(output_dir)
    return f"/{address.path}" if address.scheme == "file" else str(address)


def _remove_empty(home: Path) -> None:
    with contextlib.suppress(OSError):
        home.rmdir()
