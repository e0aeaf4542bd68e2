"""What can go wrong, each with a name of its own.

    PyLoaderError
    ├── FileError                names a file, and a line where there is one
    │   ├── DataDirError         the directory of chunks is missing, empty or ambiguous
    │   ├── ManifestError        manifest.json is damaged, or the chunks differ from it
    │   ├── ChunkReadError       a chunk file could not be turned into samples
    │   ├── ReadFileError        read_file answered with something that is no set of columns
    │   ├── SplitError           a dump could not be split
    │   │   └── OutputDirError   the directory for the chunks holds something else, or cannot take them
    │   ├── ReceiptError         a receipt for `pyloader audit` could not be written, or is damaged
    │   ├── WriteError           a file could not be written: there is no room for it
    │   ├── StoreError           an object store could not be read or written
    │   │   ├── ObjectMissingError   it has no such object
    │   │   ├── ObjectExistsError    the object was to be created, and is there
    │   │   └── ObjectChangedError   the object is not the version that was asked for
    │   ├── CacheError           the directory of a cache cannot be one, or its bound is too small
    │   └── DatasetError         what a random-access dataset is made of cannot be opened or read
    ├── BatchEncodeError         batch_encode answered with something that is no set of columns
    │   └── BadRowsError         batch_encode cannot encode some rows, and says which
    ├── CollateError             a batch could not be made into arrays
    ├── StateError               a saved state cannot be honoured by this loader
    ├── CoverageError            an epoch delivered another number of samples than it has
    ├── StallError               nothing arrived within stall_timeout_seconds
    ├── MemoryBoundError         max_bytes cannot hold what must be resident at once
    ├── WorkerDiedError          a worker process was killed, or crashed
    ├── EngineError              workers of a split cannot do its tasks
    ├── ForkError                the loader was used in a forked child process
    ├── ConcurrentUseError       several threads used the loader at the same time
    └── ClosedError              the loader was used after close()

    MissingDependencyError       an optional package is not installed (an ImportError too)

Every one of them can be pickled: the text is made when shown, and the parts travel.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType

__all__ = [
    "BadRowsError",
    "BatchEncodeError",
    "CacheError",
    "ChunkReadError",
    "ClosedError",
    "CollateError",
    "ConcurrentUseError",
    "CoverageError",
    "DataDirError",
    "DatasetError",
    "EngineError",
    "FileError",
    "ForkError",
    "ManifestError",
    "MemoryBoundError",
    "MissingDependencyError",
    "ObjectChangedError",
    "ObjectExistsError",
    "ObjectMissingError",
    "OutputDirError",
    "PyLoaderError",
    "ReadFileError",
    "ReceiptError",
    "SplitError",
    "StallError",
    "StateError",
    "StoreError",
    "WorkerDiedError",
    "WriteError",
    "drop_own_frames",
    "import_optional",
]


class PyLoaderError(Exception):
    """The root of every error that pyloader names.

    Args:
      what: What was found.
      hint: What to do about it.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)  # pickle rebuilds us from these, in another process
        self.what, self.hint = what, hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".rstrip()


class FileError(PyLoaderError):
    """Something is wrong with a file.

    Args:
      path: The file or directory.
      what: What was found in it.
      hint: What to do about it.
      line: The line, counted from 1, where there is one.
    """

    _after_path = ": "

    def __init__(self, path: str, what: str, hint: str = "", line: int | None = None) -> None:
        super().__init__(what, hint)
        self.args = (path, what, hint, line)
        self.path, self.line = path, line

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}{self._after_path}{super().__str__()}"


class DataDirError(FileError):
    """The directory of chunks is missing, empty or ambiguous."""

    _after_path = " "  # the path is the sentence's subject: "chunks/ holds two chunk sets"


class ManifestError(FileError):
    """manifest.json is damaged, or the chunks differ from what it says."""

    _after_path = " "  # the same: "chunks/manifest.json lists chunk-00003, which is missing"


class ChunkReadError(FileError):
    """A chunk file could not be turned into samples."""


class ReadFileError(FileError):
    """read_file answered with something that is no set of columns."""


class SplitError(FileError):
    """A dump could not be split into chunks."""


class OutputDirError(SplitError):
    """The directory for the chunks holds something else, or cannot take them."""

    _after_path = " "  # the same: "chunks/ holds 16 chunks of another dump"


class ReceiptError(FileError):
    """A receipt for `pyloader audit` could not be written, or is damaged."""


class WriteError(FileError):
    """A file could not be written: the disk is full, or a limit was reached."""


class StoreError(FileError):
    """An object store could not be read or written.

    Args:
      path: The address of the object or the store, without anything that is secret.
      what: What was found.
      hint: What to do about it.
      line: Always None.
      status: The status of the server's answer, None when none came.
      may_pass: Whether the same request may succeed a little later.
      retry_after_seconds: How long the server wants us to wait before that, None when it did not say.
    """

    _after_path = " "  # the same: "s3://bucket/a.jsonl does not exist"

    def __init__(
        self,
        path: str,
        what: str,
        hint: str = "",
        line: int | None = None,
        *,
        status: int | None = None,
        may_pass: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(path, what, hint, line)
        self.status, self.may_pass, self.retry_after_seconds = status, may_pass, retry_after_seconds


class ObjectMissingError(StoreError):
    """The store has no such object."""


class ObjectExistsError(StoreError):
    """The object was to be created, and is there."""


class ObjectChangedError(StoreError):
    """The object is not the version that was asked for; the text has both."""


class CacheError(FileError):
    """The directory of a cache cannot be one, or cannot hold what loaders need at once."""

    _after_path = " "  # the path is the sentence's subject: "/data/cache can be written by others"


class DatasetError(FileError):
    """What a random-access dataset is made of cannot be opened or read."""


class BatchEncodeError(PyLoaderError):
    """batch_encode answered with something that is no set of columns."""


class BadRowsError(BatchEncodeError):
    """batch_encode cannot encode some rows, and says which: all of them, in one call.

    With `max_skipped` another row stands in for each of them, and none is tried alone to find out which are bad.

    Args:
      bad_rows: Row of the batch, counted from 0 -> what is wrong with it.
      hint: What to do about it.
      what: What was found; None names the first of the rows.
    """

    def __init__(self, bad_rows: Mapping[int, str], hint: str = "", what: str | None = None) -> None:
        self.bad_rows = dict(sorted(bad_rows.items()))
        if not self.bad_rows:
            raise ValueError("BadRowsError needs the rows that are bad: BadRowsError({3: 'is empty'})")
        super().__init__(what or self.told(f"row {min(self.bad_rows)} of the batch"), hint)
        self.args = (self.bad_rows, hint, self.what)

    def told(self, first: str) -> str:
        """Return what is wrong with the first row, which is called `first`, and how many more are bad."""
        reason, others = self.bad_rows[min(self.bad_rows)], len(self.bad_rows) - 1
        more = f"; {others} more of the batch cannot be encoded" if others else ""
        return f"{first}: {reason}{more}."


class CollateError(PyLoaderError):
    """A batch could not be made into arrays."""


class StateError(PyLoaderError):
    """A saved state cannot be honoured by this loader."""


class CoverageError(PyLoaderError):
    """An epoch delivered another number of samples than it has."""


class StallError(PyLoaderError):
    """Nothing arrived within stall_timeout_seconds."""


class MemoryBoundError(PyLoaderError):
    """max_bytes, or half of the memory, cannot hold what must be resident at once."""


class WorkerDiedError(PyLoaderError):
    """A worker process was killed, or crashed, while it read a chunk, made a batch, or did a task of a split."""


class EngineError(PyLoaderError):
    """Workers of a split cannot do its tasks: they have other versions, or do not see the directory."""


class ForkError(PyLoaderError):
    """The loader was used in a forked child process, where its threads do not exist."""


class ConcurrentUseError(PyLoaderError):
    """Several threads used the loader at the same time: one takes its batches, or another has moved it meanwhile."""


class ClosedError(PyLoaderError):
    """The loader was used after close()."""


class MissingDependencyError(PyLoaderError, ImportError):
    """An optional package is not installed."""


def drop_own_frames(error: BaseException) -> None:
    """Drop the frames of this package from the traceback of an error in the data: they say less than its text.

    Where the user's code is among them, and in all other errors, they stay.
    """
    place = error.__traceback__
    while place is not None and place.tb_frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        place = place.tb_next
    if place is None and isinstance(error, FileError | BatchEncodeError | CollateError):
        error.__traceback__ = None


# Where the package to install is called otherwise than the module to import.
_PACKAGES = {
    "PIL.Image": "pillow",
    "array_record.python.array_record_module": "array_record",
    "cykooz_resizer": "cykooz-resizer",
    "google_crc32c": "google-crc32c",
    "PIL.ImageDraw": "pillow",
    "PIL.ImageOps": "pillow",
    "lance": "pylance",
    "opentelemetry.metrics": "opentelemetry-api",
    "pyarrow.parquet": "pyarrow",
    "ray.data": "ray[data]",
    "rich.live": "rich",
    "rich.text": "rich",
}


def import_optional(module: str, *, wanted_by: str) -> ModuleType:
    """Import `module`, or say which command installs it.

    Args:
      module: The dotted name to import.
      wanted_by: What needs it, as the user knows it: "ParquetReader".

    Raises:
      MissingDependencyError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if not f"{module}.".startswith(f"{exc.name}."):
            raise  # the package is there, and lacks one that it needs itself
        package = _PACKAGES.get(module, module.partition(".")[0])
        raise MissingDependencyError(
            f"{wanted_by} needs {package!r}, which is not installed: pip install {package}"
        ) from exc
