"""WebDataset shards, tar archives whose files are grouped by name -> one sample a group, one column an extension."""

from __future__ import annotations

import contextlib
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pyloader.columns import Column, Columns
from pyloader.errors import ChunkReadError
from pyloader.files import named_by_content, packing_of, refuse_pointer
from pyloader.files.unpacking import FETCH_AGAIN
from pyloader.machine.memory import keep_freed_memory
from pyloader.part import INDEX_AGAIN, InOrder, Part
from pyloader.ragged import Ragged
from pyloader.read.cutting import Cutter, FileBytes
from pyloader.read.decoding import checked_decode, decoded
from pyloader.read.file_ranges import all_of, range_of
from pyloader.read.options import NamedColumnsReader
from pyloader.read.spans import bytes_at
from pyloader.read.tar_ahead import RunsAhead
from pyloader.read.tar_members import BytesAt, Member, TarError, can_be_said, tar_members
from pyloader.read.tar_runs import MemberRun, members_and_runs
from pyloader.read.tar_samples import Files, SampleTable

__all__ = ["WebDatasetReader", "key_and_extension"]

_KEY = "__key__"
_META_BEGIN, _BEGIN_TYPE = np.uint16(int.from_bytes(b"__", "little")), "<u2"
_FIRST_BYTES = np.array([256**count - 1 for count in range(9)], np.uint64)  # of a word: a mask for so many
_META = re.compile(r"__[^/]*__($|/)")  # names that webdataset passes over
_NO_FILES = Files(*[np.empty(0, np.int64)] * 4)
_MOST_SAID = 2**16  # characters of what global headers say, kept for each part


class WebDatasetReader(NamedColumnsReader):
    """WebDataset shards (.tar), also packed: .tar.gz, .tar.zst.

    Files of one key, side by side, are a sample: "n01/0007.seg.png" is the column "seg.png" of the sample "n01/0007".
    Each extension, in small letters, is a column of bytes (`Ragged`), and "__key__" a list of str.  Nothing is
    unpickled: .pyd, .pickle and .pth arrive as bytes.  Directories and links are passed over, as webdataset does.

    Args:
      columns: Which to read, in this order; None for "__key__" and all extensions.
      decode: What the bytes of a column are: "int", "float", "str", "json" or "npy" (never of objects), by column.
      missing: "error" (the default), or "empty", which needs `columns`: a sample that lacks one has no bytes in it.

    Raises:
      TypeError, ValueError: an option is none of these.
    """

    is_thread_safe = True
    finds_by_ranges = finds_side_by_side = True

    def __init__(
        self,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 42,
        *,
        columns: Sequence[str] | None = None,
        decode: Mapping[str, Any] | None = None,
        missing: str = "error",
        **old_names: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, columns=columns, **old_names)
        self.decode = checked_decode(decode)
        if missing not in ("error", "empty"):
            raise ValueError(f"missing must be 'error' or 'empty', got {missing!r}")
        if missing == "empty" and columns is None:
            raise ValueError("missing='empty' needs columns=[...]: a shard may lack one in all of its samples")
        self.missing = missing

    def read_file(self, path: str) -> tuple[Columns, int]:
        """Read all samples.

        Returns:
          A column of bytes for each extension, or what `decode` makes of it, and how many samples there are.

        Raises:
          ChunkReadError: the archive is cut or damaged; a key comes back after another one's sample; a sample has an
            extension twice or lacks one; bytes are not what `decode` says.
        """
        keep_freed_memory()
        refuse_pointer(path, os.path.getsize(path))
        data = all_of(path, self._memory)
        return self._columns(path, data, 0, len(data), {}, is_whole=True)

    def find_parts(
        self, path: str, *, chunk_bytes: int, chunk_samples: int | None = None, in_order: InOrder = map
    ) -> list[Part] | None:
        """Find parts: headers are read, and what lies between them is passed over."""
        if packing_of(path):
            return None
        keep_freed_memory()
        cutter, keys, said = Cutter(chunk_bytes, chunk_samples), array("q"), dict[str, str]()
        stop, last = 0, b""
        with FileBytes(path) as file:
            for found in _members_and_runs(path, file, said, in_order):
                groups = _groups(found) if isinstance(found, MemberRun) else None
                if isinstance(found, MemberRun) and groups is not None:
                    is_new = np.append(groups[0] != last, groups[1:] != groups[:-1])
                    cutter.records(found.begins[is_new])
                    new = groups[is_new].tolist()
                    keys.frombytes(np.fromiter(map(hash, new), np.int64, len(new)).tobytes())
                    stop, last = found.stop, bytes(groups[-1])
                    continue
                for member, key, _ in _grouped(found.members() if isinstance(found, MemberRun) else [found]):
                    stop = member.start + -(-member.size // 512) * 512
                    if (group := _key_bytes(key)) == last:
                        continue
                    if said and sum(map(len, said.values())) > _MOST_SAID:
                        raise ChunkReadError(path, f"has global headers of more than {_MOST_SAID:,} characters.")
                    cutter.record(member.begin, dict(said) if said else None)
                    keys.append(hash(group))
                    last = group
        self._check_keys(path, np.frombuffer(keys, np.int64) if keys else np.empty(0, np.int64))
        return [
            Part(cut.first, cut.num_samples, ((cut.start, cut.stop),), {"said": cut.detail} if cut.detail else None)
            for cut in cutter.cuts(stop)
        ]

    def read_part(self, path: str, part: Part) -> tuple[Columns, int]:
        """Read the samples of a part."""
        said: object = part.detail.get("said") if isinstance(part.detail, dict) else {}
        if len(part.ranges) != 1 or not can_be_said(said):
            raise ChunkReadError(path, "has a part that is not one of a tar archive.", INDEX_AGAIN)
        ((start, stop),) = part.ranges
        return self._columns(path, range_of(path, start, stop, self._memory), start, stop, dict(said), is_whole=False)

    def _columns(
        self, path: str, data: bytes | memoryview, start: int, stop: int, said: dict[str, str], *, is_whole: bool
    ) -> tuple[Columns, int]:
        """Return the columns of the samples in `data`, the bytes of the archive from `start` to `stop`."""

        view = memoryview(data)

        def within(at: int, num_bytes: int) -> memoryview:
            return view[at - start : at - start + num_bytes]

        def bytes_within(at: int, num_bytes: int) -> bytes:
            return bytes(within(at, num_bytes))

        table = SampleTable()
        with _named(path):
            for found in members_and_runs(bytes_within, within, start, stop, said, is_whole=is_whole):
                groups = _groups(found) if isinstance(found, MemberRun) else None
                if isinstance(found, MemberRun) and groups is not None:
                    table.add_run(found, groups)
                    continue
                for member, key, extension in _grouped(found.members() if isinstance(found, MemberRun) else [found]):
                    table.add(member, key, extension)
        keys = table.keys
        if len(set(keys)) < len(keys):
            raise _twice(path, keys, table.begins)
        if not keys:
            return {}, 0
        found_files = table.files()
        named = [name for name in self.columns or found_files if name != _KEY or name in found_files]
        files = {name: found_files.get(name, _NO_FILES) for name in named}
        self._check_files(path, table, files)
        raw = np.frombuffer(data, np.uint8)
        columns: dict[str, Column] = {_KEY: keys}
        for name, each in files.items():
            rows = bytes_at(raw, each.starts - start, each.stops - start)
            if len(rows) < len(keys):
                lengths = np.zeros(len(keys), np.int64)
                lengths[each.rows] = rows.lengths
                rows = Ragged(rows.spanned, np.append(0, np.cumsum(lengths)), is_bytes=True)
            columns[name] = decoded(rows, self.decode[name], path, name, keys) if name in self.decode else rows
        return {name: columns[name] for name in self.columns or sorted(columns)}, len(keys)

    def _check_files(self, path: str, table: SampleTable, files: dict[str, Files]) -> None:
        """Raise where a sample has an extension twice, or lacks one; the first such sample is named."""
        lacks = None
        for name, each in files.items():
            again = np.flatnonzero(each.rows[1:] == each.rows[:-1])
            if len(again):
                key, begin = table.keys[each.rows[again[0]]], each.begins[again[0] + 1]
                what = f"the sample {key!r} has {name!r} twice, again at byte {begin:,}."
                raise ChunkReadError(path, what, "Name each file once")
            if len(each.rows) < len(table.keys):
                other = np.flatnonzero(each.rows != np.arange(len(each.rows)))
                row = int(other[0]) if len(other) else len(each.rows)
                lacks = (row, name) if lacks is None else min(lacks, (row, name))
        if lacks is not None and self.missing == "error":
            row, name = lacks
            what = f"the sample {table.keys[row]!r} at byte {table.begins[row]:,} has no {name!r}."
            hint = "columns=[...] names those to read; with missing='empty' as well it is empty where it lacks"
            raise ChunkReadError(path, what, f"WebDatasetReader({hint})")

    def _check_keys(self, path: str, hashes: np.ndarray) -> None:
        """Raise where a key comes back; `hashes` are those of all keys, 8 bytes each however long a key is."""
        ordered = np.sort(hashes)
        again = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if not again:
            return
        found: dict[str, int] = {}
        last = None
        with FileBytes(path) as file:
            for member, key, _ in _grouped(_members(path, file, 0, file.size, {}, is_whole=True)):
                if key != last and hash(_key_bytes(key)) in again:
                    if key in found:
                        raise _comes_back(path, key, found[key], member.begin)
                    found[key] = member.begin
                last = key


def _members_and_runs(
    path: str, file: FileBytes, said: dict[str, str], in_order: InOrder = map
) -> Iterator[Member | MemberRun]:
    options: dict[str, Any] = {"is_whole": True}
    with _named(path), contextlib.ExitStack() as stack:
        if in_order is not map:
            ahead = stack.enter_context(contextlib.closing(RunsAhead(file.stretch, file.size, in_order)))
            options["ahead"] = ahead.run_at
        yield from members_and_runs(file, file.stretch, 0, file.size, said, **options)


def _members(
    path: str, at: BytesAt, start: int, stop: int, said: dict[str, str], *, is_whole: bool
) -> Iterator[Member]:
    with _named(path):
        yield from tar_members(at, start, stop, said, is_whole=is_whole)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Have errors inside of this name the archive."""
    try:
        yield
    except TarError as exc:
        hint = FETCH_AGAIN
        if "zero block is missing" in exc.what:
            hint += f". If nothing is missing, close it: head -c 1024 /dev/zero >> {path}"
        raise named_by_content(ChunkReadError(path, f"is no whole tar archive: {exc}.", hint)) from exc


def _grouped(members: Iterable[Member]) -> Iterator[tuple[Member, str, str]]:
    """Yield the members that belong to samples, with key and extension."""
    for member in members:
        name = member.name
        if name.startswith("__") and (_META.match(name) or ("/" not in name and name.endswith("__"))):
            continue
        if found := key_and_extension(name):
            yield member, found[0], found[1].lower()


def _groups(run: MemberRun) -> np.ndarray | None:
    """Return the keys of a run's names, bytes; None where `key_and_extension` has to look at them one by one."""
    num_names, width = run.names.shape
    names = run.names.reshape(-1)
    firsts = np.arange(0, len(names), width)
    if (run.names.view(_BEGIN_TYPE)[:, 0] == _META_BEGIN).any():
        return None
    dots = np.flatnonzero(names == ord("."))
    of_name = dots // width
    slashes = np.flatnonzero(names == ord("/"))
    lasts = firsts.copy()
    lasts[slashes // width] = slashes + 1  # where several are in a name, the last one stays
    is_after = dots >= lasts[of_name]
    dots, of_name = dots[is_after], of_name[is_after]
    is_first = np.append(True, of_name[1:] != of_name[:-1])[: len(dots)]
    dots = dots[is_first]
    if len(dots) < num_names or (dots == lasts).any():
        return None
    ends = dots - firsts
    keys = run.names.view("<u8").copy()
    for word in range(keys.shape[1]):
        keys[:, word] &= _FIRST_BYTES[np.clip(ends - 8 * word, 0, 8)]
    found: np.ndarray = keys.view(f"S{width}")[:, 0]
    return found


def _key_bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def key_and_extension(name: str) -> tuple[str, str] | None:
    """Return what webdataset takes for the key of a name, up to the first dot of its last part, and the rest.

    A last part that begins with a dot belongs to the directory before it, if there is no dot in that one's name.

    >>> key_and_extension("n01/0007.seg.png"), key_and_extension("n01/.png"), key_and_extension("n01.d/README")
    (('n01/0007', 'seg.png'), ('n01/', 'png'), None)
    """
    last = name.rfind("/") + 1
    dot = name.find(".", last)
    if dot == last:
        before = name[name.rfind("/", 0, max(0, last - 1)) + 1 : last]
        if not before or "." in before:
            return None
    return None if dot < 0 else (name[:dot], name[dot + 1 :])


def _twice(path: str, keys: list[str], begins: list[int]) -> ChunkReadError:
    """Return the error for the first key that comes back."""
    found: dict[str, int] = {}
    for key, begin in zip(keys, begins, strict=True):
        if key in found:
            return _comes_back(path, key, found[key], begin)
        found[key] = begin
    raise AssertionError("no key comes back")


def _comes_back(path: str, key: str, first: int, again: int) -> ChunkReadError:
    what = f"the key {key!r} at byte {first:,} comes back at byte {again:,}, after another sample."
    return ChunkReadError(path, what, "Put the files of a sample side by side: tar --sort=name -cf SHARD.tar DIR")
