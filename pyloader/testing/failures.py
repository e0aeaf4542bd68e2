"""Laws 5 and 7 on a user's loader: what fails arrives as itself, Ctrl-C is not swallowed, and damage is noticed."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from unittest import SkipTest

from pyloader.dataloader import DataLoader
from pyloader.files import Verification
from pyloader.testing.faults import FailingReads, FlakyReads, altered, flip_bit, truncate
from pyloader.testing.laws import assert_same_batches, broken
from pyloader.testing.numbering import numbered, places_here, rows_of
from pyloader.testing.order import MAX_STEPS, MakeLoader

__all__ = ["check_ctrl_c", "check_damage", "check_errors", "check_flaky_reads"]

_ENGINES: tuple[dict[str, Any], ...] = (
    {"num_workers": 0},
    {"num_workers": 0, "num_readers": 1, "worker_kind": "thread"},
    {"num_workers": 2, "num_readers": 2, "worker_kind": "thread"},
)
_MOST_LINES = 300
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep


# What a user's loader may leave out is to be an error here.
_NO_SKIPS = {"max_skipped": 0, "max_skipped_rows": 0}


class _Fault(Exception):
    """What the checks raise in user code."""


def check_errors(make_loader: MakeLoader) -> None:
    """Assert that an error of read_file and one at a row of batch_encode arrive as they are (law 5).

    They come after the good batches before them, again at each further call; and the state stays after the last good
    batch, so that the loop goes on there when the fault is gone.
    """
    with numbered(make_loader(num_workers=0)) as loader:
        wanted = rows_of(list(islice(loader, MAX_STEPS)))
        files = loader._options.run.chunks.names
    steps = [step for step, rows in enumerate(wanted) if rows]
    row = wanted[steps[len(steps) // 2]][0]
    for engine in _ENGINES:
        faults = [numbered(make_loader(**engine), fail_at=row, error=_Fault("at a row"))]
        for file in (files[0], files[-1]):
            loader = make_loader(**engine)
            reader = FailingReads(loader._options.run.reader, file, _Fault(f"at {file}"))
            faults.append(numbered(altered(loader, reader=reader)))
        for loader in faults:
            _assert_fails_well(altered(loader, **_NO_SKIPS), make_loader, wanted, f"with {engine}")


def check_ctrl_c(make_loader: MakeLoader) -> None:
    """Assert that Ctrl-C at any line of the user's read_file, batch_encode and collate_batch ends the loop (law 5).

    And that the loop can be gone on with afterwards (law 4).  Lines are those of the files that define the user's
    classes; each is interrupted when it is first reached, in one thread.
    """
    with make_loader(num_workers=0) as loader:
        run = loader._options.run
        wanted = list(islice(loader, 3))
    files = {inspect.getsourcefile(type(part)) or "" for part in (run.reader, run.dataset, run.collator) if part}
    files = {file for file in files if file and not file.startswith(_PACKAGE)}
    if not files:
        raise SkipTest("reader, dataset and collator are all pyloader's own")
    for number in range(_MOST_LINES):
        with make_loader(num_workers=0) as loader:
            interrupting = _Interrupting(files, number)
            found: list[Any] = []
            try:
                with interrupting:
                    for batch in islice(loader, len(wanted)):
                        found.append(batch)
            except KeyboardInterrupt:
                pass
            except Exception as exc:
                if not interrupting.place:
                    raise
                raise broken(
                    5, f"Ctrl-C {interrupting.place} became {exc!r}. Catch Exception, and re-raise the rest"
                ) from exc
            else:
                if not interrupting.place:
                    return  # no more lines
                what = f"Ctrl-C {interrupting.place} was swallowed, and the loop went on"
                raise broken(5, f"{what}. Write `except Exception`, not `except` or `except BaseException`")
            found += islice(loader, len(wanted) - len(found))
            assert_same_batches(found, wanted, 4, f"The loop went on after Ctrl-C {interrupting.place}")


def check_damage(make_loader: MakeLoader) -> None:
    """Assert that a flipped bit, and a file cut short after the loader was made, are errors that name it (law 7).

    It needs a manifest with checksums; copies are damaged, not your files.
    """
    with make_loader(num_workers=0) as loader:
        chunks = loader._options.run.chunks
    entries = () if chunks.manifest is None else chunks.manifest.chunks
    if not entries or not all(entry.checksum for entry in entries):
        raise SkipTest(f"damage is found by checksums: pyloader index {chunks.place} --checksums")
    places = places_here(chunks)
    victim = max(range(len(chunks)), key=lambda index: entries[index].num_bytes)
    for damage in (truncate, flip_bit):
        with tempfile.TemporaryDirectory() as directory:
            copies = replace(chunks, root=Path(directory), stored=None)
            for index, (path, _) in enumerate(places):
                Path(copies.file(index)).parent.mkdir(parents=True, exist_ok=True)
                if not os.path.lexists(copies.file(index)):  # as for the next part of the same file
                    os.symlink(os.path.abspath(path), copies.file(index))
            _copy(places[victim][0], copies.file(victim))
            damage(copies.file(victim))
            verification = Verification(copies, always=False)
            parts = {"chunks": copies, "verification": verification, **_NO_SKIPS}
            with altered(make_loader(num_workers=0), **parts) as loader:
                _assert_names(loader, entries[victim].source, f"a chunk was damaged ({damage.__name__})")


def check_flaky_reads(make_loader: MakeLoader) -> None:
    """Assert that reads which fail at first, as those of a network do, change nothing (law 7)."""
    with make_loader(num_workers=0) as loader:
        wanted = list(islice(loader, MAX_STEPS))
    loader = make_loader(num_workers=0)
    reader = FlakyReads(loader._options.run.reader)
    with altered(loader, reader=reader, retry_waits=(0.0,)) as loader:
        found = list(islice(loader, MAX_STEPS))
        assert_same_batches(found, wanted, 7, "Each chunk could be read at the second try only")
        if loader.stats().num_retries == 0:
            raise broken(7, "reads were tried again, and stats() says that none were")


class _Interrupting:
    """Raises KeyboardInterrupt at the `number`-th line of some files that is reached for the first time."""

    def __init__(self, files: set[str], number: int) -> None:
        self.files, self.left = files, number
        self.seen: set[tuple[str, int]] = set()
        self.place = ""

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in self.files:
            return None
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and not self.place and line not in self.seen:
            self.seen.add(line)
            self.left -= 1
            if self.left < 0:
                self.place = f"at {line[0]}:{line[1]}, in {frame.f_code.co_name},"
                raise KeyboardInterrupt
        return self._trace


def _assert_fails_well(loader: DataLoader, make_loader: MakeLoader, wanted: list[Any], how: str) -> None:
    found: list[Any] = []
    with loader:
        error = None
        try:
            for batch in islice(loader, MAX_STEPS):
                found.append(batch)
        except _Fault as exc:
            error = exc
        except Exception as exc:
            raise broken(5, f"an error of the user's code arrived as {exc!r}, {how}") from exc
        rows = rows_of(found)
        if error is None:
            return  # the row or the file did not come
        assert_same_batches(rows, wanted[: len(rows)], 5, f"An error was raised in user code, {how}")
        state = loader.state_dict()
        try:
            next(loader)
        except _Fault:
            pass
        else:
            raise broken(5, f"after an error the loop went on as if nothing had happened, {how}")
    with numbered(make_loader(num_workers=0)) as mended:
        mended.load_state_dict(state)
        rest = rows_of(list(islice(mended, len(wanted) - len(rows))))
    assert_same_batches(rest, wanted[len(rows) :], 4, f"A fresh loader went on after an error, {how}", first=len(rows))


def _assert_names(loader: DataLoader, file: str, what: str) -> None:
    try:
        for _ in loader:
            pass
    except Exception as exc:
        if file not in "\n".join([str(exc), *getattr(exc, "__notes__", ())]):
            raise broken(7, f"{what}, and the error does not name {file}: {exc!r}") from exc
    else:
        raise broken(7, f"{what}, and an epoch was delivered without an error")


def _copy(source: str, target: str) -> None:
    os.unlink(target)
    if os.path.isdir(source):
        shutil.copytree(source, target, copy_function=shutil.copyfile)  # the cache has no file that may be written
    else:
        shutil.copyfile(source, target)
