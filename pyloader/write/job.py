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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pyloader.errors import SplitError
from pyloader.files import STAGING_NAME, ChunkEntry, chunk_bytes
from pyloader.files.atomic import remove, sync, sync_in_place, written_whole
from pyloader.write.outputs import Output
from pyloader.write.placing import staged_chunks
from pyloader.write.receipts import (
    KeysReceipt,
    RangeReceipt,
    ReadReceipt,
    Receipt,
    RoundReceipt,
    StoredReceipt,
    UnitReceipt,
    chunks_in,
    files_in,
    level_of,
)
from pyloader.write.removing import FAILED, check_staging, index_of_chunk, output_directory, remove_staging
from pyloader.write.scratch import begin_scratch, scratch_of
from pyloader.write.sparse_files import without_bytes

__all__ = ["CONTENT_RULE", "Job", "Terms"]

CONTENT_RULE = "units-1:"  # begins the digest of all rows, which is made of those of the units

_NAMES = "names.json"
_MADE = re.compile(r"(unit|range|chunk|keys|drop)-[0-9a-f-]+\.[a-z.]*[a-z]")  # the name of a file that a task makes
_VERSION = 4
# 1 and 2: one thread read the dump from a place on, and chunks crossed what are units now.  3: a large shuffle had
# other ranges of keys.
_EARLIER = (1, 2, 3)


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


class Job:
    """The directory OUTPUT_DIR/.split.

    Args:
      output_dir: The directory.
      output: Where the chunks go; None is that directory.

    Attributes:
      receipts: Name of a task -> what came of it.
      has_failed: Whether that split ended by itself, with an error, and not by a kill: then the same command goes on
        with it, and any other takes its place.
    """

    def __init__(self, output_dir: Path, output: Output | None = None) -> None:
        self._root, self.directory = output_dir, output_dir / STAGING_NAME
        self._output = output or Output(output_dir, str(output_dir))
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

    @property
    def aside(self) -> Path:
        """Where tasks put rows aside."""
        return scratch_of(self.directory) or self.made

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
        stored = {found.file: found.last for found in latest.values() if isinstance(found, StoredReceipt)}
        there = {name: self._is_there(receipt, stored) for name, receipt in latest.items()}
        rounds = max((found.level for found in latest.values() if isinstance(found, RoundReceipt)), default=0)
        if any(level_of(found) == rounds and not there[name] for name, found in latest.items()):
            rounds = 0
        self.receipts = {name: found for name, found in latest.items() if there[name] or 0 <= level_of(found) < rounds}
        made = self.chunk_files()
        self.receipts = {
            name: found
            for name, found in self.receipts.items()
            if not isinstance(found, StoredReceipt) or (self._output.place is not None and found.file in made)
        }
        gone = [found for name, found in latest.items() if name not in self.receipts and isinstance(found, UnitReceipt)]
        self._digests = {receipt.name: receipt.digest for receipt in gone}
        if gone or any(isinstance(found, KeysReceipt) for name, found in latest.items() if name not in self.receipts):
            self.receipts = {
                name: found
                for name, found in self.receipts.items()
                if not isinstance(found, ReadReceipt | RoundReceipt)
            }

    def begin(self, terms: Terms, scratch_dir: str | None = None) -> None:
        """Forget what was there, and begin."""
        remove_staging(self.directory)
        self.made.mkdir(parents=True)
        begin_scratch(self.directory, scratch_dir)
        self.receipts = {}
        with written_whole(self.directory / "job.json") as beside:
            beside.write_bytes(msgspec.json.encode(terms))

    def go_on(self, scratch_dir: str | None = None) -> None:
        """Forget that the split has failed, and remove what has no receipt: it goes on."""
        (self.directory / FAILED).unlink(missing_ok=True)
        self.made.mkdir(exist_ok=True)
        if not self.aside.is_dir():
            begin_scratch(self.directory, scratch_dir)
        for file in self.stored():
            without_bytes(self.made / file)
        known = {file for receipt in self.receipts.values() for file in files_in(receipt)}
        for path in (*self.made.iterdir(), *(self.aside.iterdir() if self.aside != self.made else ())):
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
        # Chunks that tasks of this process wrote are synced here, while the threads go on with other tasks.
        for entry in chunks_in(receipt):
            sync_in_place(self.made / entry.file)
        with open(self._journal, "ab") as file:
            file.write(msgspec.json.encode(receipt) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.receipts[receipt.name] = receipt
        if isinstance(receipt, StoredReceipt):
            without_bytes(self.made / receipt.file)

    def end_round(self, level: int) -> None:
        """Note that all rows were put aside in a later round, and remove what they were put aside in before."""
        receipt = RoundReceipt(name=f"round-{level}", level=level)
        if receipt.name not in self.receipts:
            self.add(receipt)
        for found in self.receipts.values():
            if isinstance(found, UnitReceipt | RangeReceipt) and found.file and level_of(found) < level:
                (self.aside / found.file).unlink(missing_ok=True)

    def chunk_files(self) -> set[str]:
        """Return the files of all finished chunks, as tasks have named them."""
        return {entry.file for receipt in self.receipts.values() for entry in chunks_in(receipt)}

    def stored(self) -> dict[str, str]:
        """Return the finished chunks that are in the store: the file that a task made -> the name there."""
        return {found.file: found.last for found in self.receipts.values() if isinstance(found, StoredReceipt)}

    def give_up_stored(self, names: Iterable[str]) -> None:
        """Remove chunks from the store, whoever has put them there."""
        self._output.delete_chunks(names)

    def end(self) -> None:
        """Give up what has not been put in its place."""
        self._output.delete_chunks(self.stored().values())
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

    def _is_there(self, receipt: Receipt, stored: Mapping[str, str]) -> bool:
        """Tell whether the files of a task are there, or `stored`, whole as far as their sizes tell."""
        sizes = [(self.made, entry.file, entry.num_bytes) for entry in chunks_in(receipt)]
        if isinstance(receipt, UnitReceipt | RangeReceipt) and receipt.file:
            sizes.append((self.aside, receipt.file, receipt.file_bytes))
        if isinstance(receipt, KeysReceipt):
            sizes += [(self.made, file, size) for file, size in receipt.files.items()]
        if odd := [file for _, file, _ in sizes if not _MADE.fullmatch(file)]:
            raise SplitError(str(self._journal), f"names {odd[0]}, as no task names a file.", self._give_up())
        for place, file, size in sizes:
            last = stored.get(file)
            if not (place / file).exists() or (last is None and chunk_bytes(place / file) != size):
                return False
            if last is not None and not self._output.has_chunk(last, size):
                return False
        return True

    def _give_up(self) -> str:
        return f"Give up what was begun: pyloader split {self._root}/ --discard-stopped"

    def _lines(self) -> list[Receipt]:
        data = self._journal.read_bytes() if self._journal.exists() else b""
        whole = data.rfind(b"\n") + 1  # a line without its end was being written when the run was killed
        if whole < len(data):
            os.truncate(self._journal, whole)
        decoder = msgspec.json.Decoder(Receipt)
        return [decoder.decode(line) for line in data[:whole].splitlines()]
