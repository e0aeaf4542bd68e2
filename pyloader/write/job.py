"""What a split has done so far, on disk: enough to go on after a kill at any moment.

Everything is below OUTPUT_DIR/.split, where no loader looks: job.json, written once; receipts.jsonl, a line for each
finished task, with the names of the files that it made; and these files.  Only the process that runs the split writes
the receipts: a file without one was being written when that process was killed, and is removed.  All of it goes when
the chunks and their manifests are in their places.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from pyloader.errors import SplitError
from pyloader.files import STAGING_NAME, ChunkEntry, chunk_bytes
from pyloader.files.atomic import remove, sync, written_whole
from pyloader.write.left_out import BadRow
from pyloader.write.placing import staged_chunks
from pyloader.write.preparing import Learnt
from pyloader.write.removing import FAILED, check_staging, index_of_chunk, output_directory, remove_staging

__all__ = [
    "CONTENT_RULE",
    "ChunkReceipt",
    "FileReceipt",
    "Job",
    "KeysReceipt",
    "ReadReceipt",
    "Receipt",
    "Terms",
    "UnitReceipt",
]

CONTENT_RULE = "units-1:"  # begins the digest of all rows, which is made of those of the units

_NAMES = "names.json"
_MADE = re.compile(r"(unit|chunk|keys|drop)-[0-9a-f-]+\.[a-z.]*[a-z]")  # the name of a file that a task makes
_VERSION = 3
_EARLIER = (1, 2)  # one thread read the dump from a place on, and chunks crossed what are units now


class Terms(msgspec.Struct, kw_only=True):
    """What a split was begun with.

    Attributes:
      fingerprint: Of the inputs and options.
      command: What was typed.
      made_by: The command that makes the same chunks again: where inputs were known before, it names the others; "" is
        `command`.
      versions: Of what decides about bytes.
      began_with_overwrite: Whether that command said --overwrite.
      mended: For each output the chunks of this very split, when it was finished before: those that are damaged or
        missing are written again, and no others.
      kept: For each output the chunks that are there already and stay: what --append adds to.
      first: For each output the index of the first chunk of this split.
      expected_content: What the digest of all rows must be, when the dump was split before; "" otherwise.
      holdout_rule: As `pyloader.write.holdout` has it.
      data_version: The version of the set that this split makes, or belongs to; 1 where its chunks' names have none.
      sizes: How large its chunks are, where that follows the set.
      set_sizes: What was said of sizes when the set was first split; None for a first version.
      removed: For each output the chunks that are there already, and that this one's take the place of.
    """

    fingerprint: str
    command: str
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    began_with_overwrite: bool = False
    mended: dict[str, list[ChunkEntry]] = msgspec.field(default_factory=dict)
    kept: dict[str, list[ChunkEntry]] = msgspec.field(default_factory=dict)
    first: dict[str, int] = msgspec.field(default_factory=dict)
    expected_content: str = ""
    holdout_rule: int = 2
    data_version: int = 1
    made_by: str = ""
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    set_sizes: dict[str, int] | None = None
    removed: dict[str, list[ChunkEntry]] = msgspec.field(default_factory=dict)
    version: int = _VERSION


class UnitReceipt(msgspec.Struct, kw_only=True, tag="unit"):
    """What came of a unit of the dump.

    Attributes:
      name: The task's.
      num_rows: Of each output.
      raw_bytes: Of each output.
      first_line: The number of its first line in its file, from 1; 0 when nobody has counted the lines before it.
      num_lines: Of its last source; 0 where its rows are no lines.
      digest: Of its rows, in order.
      piece: Of the bytes that it was, where these are a piece of a stream.
      learnt: What its rows have decided, and counts.
      bad: The rows that were left out, with lines counted from the unit's first.
      chunks: Of each output whose rows were cut while they were read: the chunks, under the names of their files.
      buckets: Of each other output: the rows in each bucket.
      file: The file of the rows put aside; "" when there is none.
      file_bytes: Its size.
      parts_read: For each of its spans the digest of the bytes between the span's borders; "" where only some of the
        file's bytes are read.
    """

    name: str
    num_rows: dict[str, int]
    raw_bytes: dict[str, int]
    first_line: int
    num_lines: int
    digest: str
    piece: str
    learnt: Learnt
    bad: list[BadRow]
    chunks: dict[str, list[ChunkEntry]]
    buckets: dict[str, list[int]]
    file: str = ""
    file_bytes: int = 0
    parts_read: list[str] = msgspec.field(default_factory=list)


class FileReceipt(msgspec.Struct, kw_only=True, tag="file"):
    """A file of which units read only some bytes was read through, for its digest.

    Attributes:
      name: The task's.
      digest: As `pyloader.write.file_digests` has it.
    """

    name: str
    digest: str


class ChunkReceipt(msgspec.Struct, kw_only=True, tag="chunk"):
    """A chunk that was gathered from all units.

    Attributes:
      name: The task's.
      entry: The chunk, under the name of its file.
    """

    name: str
    entry: ChunkEntry


class KeysReceipt(msgspec.Struct, kw_only=True, tag="keys"):
    """What tasks found out about keys: those of a unit's rows, or the rows of all units that are dropped for theirs.

    Attributes:
      name: The task's.
      files: What later tasks read, and the size of each.
      num_rows: Of the unit; 0 where it is of all units.
    """

    name: str
    files: dict[str, int]
    num_rows: int = 0


class ReadReceipt(msgspec.Struct, kw_only=True, tag="read"):
    """The dump has been read to its end.

    Attributes:
      name: Always the same.
      streams: Name of a file that was cut into pieces while it was read -> its digest.
    """

    name: str = "all-read"
    streams: dict[str, str] = msgspec.field(default_factory=dict)


Receipt = UnitReceipt | FileReceipt | ChunkReceipt | KeysReceipt | ReadReceipt


class Job:
    """The directory OUTPUT_DIR/.split.

    Attributes:
      receipts: Name of a task -> what came of it.
      has_failed: Whether that split ended by itself, with an error, and not by a kill: then the same command goes on
        with it, and any other takes its place.
    """

    def __init__(self, output_dir: Path) -> None:
        self._root, self.directory = output_dir, output_dir / STAGING_NAME
        self.receipts: dict[str, Receipt] = {}
        self._digests: dict[str, str] = {}  # of units whose files are gone: their chunks may be there
        self.has_failed = False
        self._journal = self.directory / "receipts.jsonl"

    @property
    def is_worth_keeping(self) -> bool:
        """Whether there is more in it than that a split was begun."""
        found = self.receipts.values()
        return any(
            isinstance(of, KeysReceipt) or (isinstance(of, UnitReceipt) and any(of.num_rows.values())) for of in found
        )

    @property
    def made(self) -> Path:
        """Where tasks write their files."""
        return self.directory / "rows-made"

    def staged(self, output: str) -> Path:
        """Return where an output's finished chunks wait, under their last names."""
        return staged_chunks(self.directory, output)

    def load(self) -> Terms | None:
        """Return what is under way, and read which tasks are finished; None when no split is under way.

        Raises:
          SplitError: what is there is damaged, of another version, or was not put there by this program.
        """
        path = self.directory / "job.json"
        check_staging(self.directory)
        if not path.exists():
            remove_staging(self.directory)  # left by a run that was killed in its very first or last step
            return None
        try:
            begun = path.read_bytes()
            version = msgspec.json.decode(begun, type=dict[str, msgspec.Raw]).get("version", msgspec.Raw(b"0"))
            if (number := msgspec.json.decode(version, type=int)) != _VERSION:
                by = "an earlier version of pyloader, whose chunks end elsewhere" if number in _EARLIER else "another"
                what = f"is of version {number}, of a split that was begun by {by}."
                raise SplitError(str(path), what, self._give_up())
            terms = msgspec.json.decode(begun, type=Terms)
            if (self.directory / _NAMES).exists():
                self._take_names_back()
            self._load_receipts()
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise SplitError(str(path), f"is damaged ({exc}).", self._give_up()) from exc
        for output in terms.kept:
            output_directory(self._root, output)  # which refuses one that lies elsewhere
        self.has_failed = (self.directory / FAILED).exists()
        return terms

    def _load_receipts(self) -> None:
        """Take the receipts whose files are there; where those of a unit are not, the dump has to be read again."""
        latest = {receipt.name: receipt for receipt in self._lines()}
        self.receipts = {name: receipt for name, receipt in latest.items() if self._is_there(receipt)}
        gone = [found for name, found in latest.items() if name not in self.receipts and isinstance(found, UnitReceipt)]
        self._digests = {receipt.name: receipt.digest for receipt in gone}
        if gone or any(isinstance(found, KeysReceipt) for name, found in latest.items() if name not in self.receipts):
            self.receipts.pop(ReadReceipt().name, None)

    def begin(self, terms: Terms) -> None:
        """Forget what was there, and begin."""
        remove_staging(self.directory)
        self.made.mkdir(parents=True)
        self.receipts = {}
        with written_whole(self.directory / "job.json") as beside:
            beside.write_bytes(msgspec.json.encode(terms))

    def go_on(self) -> None:
        """Forget that the split has failed, and remove what has no receipt: it goes on."""
        (self.directory / FAILED).unlink(missing_ok=True)
        self.made.mkdir(exist_ok=True)
        known = {file for receipt in self.receipts.values() for file in _files(receipt)}
        for path in self.made.iterdir():
            if path.name not in known:
                remove(path)

    def fail(self) -> None:
        """Note that the split ends by itself, with an error."""
        with contextlib.suppress(OSError):
            if self.is_worth_keeping:
                (self.directory / FAILED).touch()
            else:
                self.end()

    def add(self, receipt: Receipt) -> None:
        """Note that a task is finished.

        Raises:
          SplitError: it is done again, and its rows are others.
        """
        if isinstance(receipt, UnitReceipt) and self._digests.get(receipt.name, receipt.digest) != receipt.digest:
            what = "holds a split that was stopped; reading the dump gave other rows the second time."
            raise SplitError(f"{self._root}/", what, "Let --encode and --where depend on nothing but the rows")
        with open(self._journal, "ab") as file:
            file.write(msgspec.json.encode(receipt) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.receipts[receipt.name] = receipt

    def chunk_files(self) -> set[str]:
        """Return the files of all finished chunks, as tasks have named them."""
        return {entry.file for receipt in self.receipts.values() for entry in _chunks(receipt)}

    def end(self) -> None:
        """Give up what has not been put in its place."""
        remove_staging(self.directory)
        self.receipts = {}

    def name_chunks(self, names: Sequence[tuple[str, str, str]]) -> None:
        """Give finished chunks their last names: (output, last name, name of the file that a task made).

        The names are written down first, so that a killed run can take them back, and finds every file again.
        """
        with written_whole(self.directory / _NAMES) as beside:
            beside.write_bytes(msgspec.json.encode(names))
        for output, last, made in names:
            self.staged(output).mkdir(exist_ok=True)
            os.replace(self.made / made, self.staged(output) / last)
        for output in {output for output, _, _ in names}:
            sync(self.staged(output))

    def _take_names_back(self) -> None:
        path = self.directory / _NAMES
        for output, last, made in msgspec.json.decode(path.read_bytes(), type=list[tuple[str, str, str]]):
            output_directory(self._root, output)  # which refuses one that lies elsewhere
            if index_of_chunk(last) is None or not _MADE.fullmatch(made):
                raise SplitError(str(path), f"names {output}/{last} {made}.", self._give_up())
            if (self.staged(output) / last).exists():
                os.replace(self.staged(output) / last, self.made / made)
        path.unlink()

    def _is_there(self, receipt: Receipt) -> bool:
        """Tell whether the files of a task are there, whole as far as their sizes tell."""
        sizes = [(entry.file, entry.num_bytes) for entry in _chunks(receipt)]
        if isinstance(receipt, UnitReceipt) and receipt.file:
            sizes.append((receipt.file, receipt.file_bytes))
        sizes += receipt.files.items() if isinstance(receipt, KeysReceipt) else ()
        if odd := [file for file, _ in sizes if not _MADE.fullmatch(file)]:
            raise SplitError(str(self._journal), f"names {odd[0]}, as no task names a file.", self._give_up())
        return all((self.made / file).exists() and chunk_bytes(self.made / file) == size for file, size in sizes)

    def _give_up(self) -> str:
        return f"Give up what was begun: pyloader split {self._root}/ --discard-stopped"

    def _lines(self) -> list[Receipt]:
        data = self._journal.read_bytes() if self._journal.exists() else b""
        whole = data.rfind(b"\n") + 1  # a line without its end was being written when the run was killed
        if whole < len(data):
            os.truncate(self._journal, whole)
        decoder = msgspec.json.Decoder(Receipt)
        return [decoder.decode(line) for line in data[:whole].splitlines()]


def _chunks(receipt: Receipt) -> Iterable[ChunkEntry]:
    if isinstance(receipt, ChunkReceipt):
        return [receipt.entry]
    if isinstance(receipt, KeysReceipt | ReadReceipt | FileReceipt):
        return []
    return [entry for entries in receipt.chunks.values() for entry in entries]


def _files(receipt: Receipt) -> list[str]:
    files = [entry.file for entry in _chunks(receipt)]
    if isinstance(receipt, KeysReceipt):
        return list(receipt.files)
    return [*files, receipt.file] if isinstance(receipt, UnitReceipt) and receipt.file else files
