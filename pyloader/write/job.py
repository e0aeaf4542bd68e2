"""What a split has done so far, on disk: enough to go on after a kill at any moment.

Everything is below OUTPUT_DIR/.split, where no loader looks: job.json (replaced as a whole at each checkpoint),
chunks.jsonl (a line for each finished chunk), the rows put aside, and the finished chunks.  It goes when the chunks and
their manifests are in their places.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from pyloader.errors import SplitError
from pyloader.files import MANIFEST_NAME, STAGING_NAME, ChunkEntry, read_manifest
from pyloader.files.atomic import written_whole
from pyloader.write.blocks import Place
from pyloader.write.placing import staged_chunks
from pyloader.write.preparing import Learnt
from pyloader.write.removing import (
    FAILED,
    check_staging,
    index_of_chunk,
    output_directory,
    remove_own,
    remove_staging,
)
from pyloader.write.spool import Segment

__all__ = ["Job", "Progress"]

# In version 1 the finished chunks were in their places already; where they are there, they are taken.
_VERSION, _READ_VERSIONS = 2, (1, 2)


class Progress(msgspec.Struct, kw_only=True):
    """A checkpoint.

    Attributes:
      fingerprint: Of the inputs and options.
      command: What made it, to be read.
      began_with_overwrite: Whether that command said --overwrite.
      is_mending: Whether chunks of a finished split are written again, those that are damaged or missing.
      kept: For each output the chunks that are there already and stay: what --append adds to.
      first: For each output the index of the first chunk of this split, where it is not the one after `kept`.
      source_index: The source to read on in.
      place: Where in it; rows before it are put aside or in chunks.
      num_rows: Rows taken so far.
      content: The CRC-32 of all those rows, in hexadecimal.
      expected_content: What it must be in the end, when the dump was split before; "" otherwise.
      all_read: Whether the dump has been read to its end.
      learnt: What the rows so far have decided.
      segments: The rows put aside, for each output.
    """

    fingerprint: str
    command: str
    began_with_overwrite: bool = False
    is_mending: bool = False
    kept: dict[str, list[ChunkEntry]] = msgspec.field(default_factory=dict)
    first: dict[str, int] = msgspec.field(default_factory=dict)
    source_index: int = 0
    place: Place = Place()
    num_rows: int = 0
    content: str = ""
    expected_content: str = ""
    all_read: bool = False
    learnt: Learnt
    segments: dict[str, list[Segment]] = msgspec.field(default_factory=dict)
    version: int = _VERSION


class _Line(msgspec.Struct):
    output: str
    index: int
    entry: ChunkEntry


class Job:
    """The directory OUTPUT_DIR/.split.

    Attributes:
      finished: (output, index) -> the entry of a finished chunk.
      is_worth_keeping: Whether there is more in it than that a split was begun.
      has_failed: Whether that split ended by itself, with an error, and not by a kill: then the same command goes on
        with it, and any other takes its place.
    """

    def __init__(self, output_dir: Path) -> None:
        self._root, self.directory = output_dir, output_dir / STAGING_NAME
        self.finished: dict[tuple[str, int], ChunkEntry] = {}
        self.is_worth_keeping = self.has_failed = False
        self._journal = self.directory / "chunks.jsonl"

    def staged(self, output: str) -> Path:
        """Return where an output's finished chunks wait."""
        return staged_chunks(self.directory, output)

    def load(self) -> Progress | None:
        """Return the last checkpoint, and read which chunks are finished; None when no split is under way.

        Raises:
          SplitError: what is there is damaged, of another version, or was not put there by this program.
        """
        path = self.directory / "job.json"
        check_staging(self.directory)
        if not path.exists():
            remove_staging(self.directory)  # left by a run that was killed in its very first or last step
            return None
        try:
            progress = msgspec.json.decode(path.read_bytes(), type=Progress)
            finished = {(line.output, line.index): line.entry for line in self._journal_lines()}
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise SplitError(str(path), f"is damaged ({exc}).", self._give_up()) from exc
        if progress.version not in _READ_VERSIONS:
            raise SplitError(str(path), f"is of version {progress.version}.", self._give_up())
        for (output, index), entry in finished.items():
            output_directory(self._root, output)  # which refuses one that lies elsewhere
            if index_of_chunk(entry.file) != index:
                raise SplitError(str(self._journal), f"names {output}/{entry.file}.", self._give_up())
        progress.version = _VERSION
        self.finished = finished
        self.is_worth_keeping = progress.num_rows > 0
        self.has_failed = (self.directory / FAILED).exists()
        return progress

    def begin(self, progress: Progress, finished: dict[tuple[str, int], ChunkEntry] | None = None) -> None:
        """Forget what was there, and begin."""
        remove_staging(self.directory)
        self.directory.mkdir(parents=True)
        self.finished = {}
        for (output, index), entry in (finished or {}).items():
            self.add_chunk(output, index, entry)
        self.save(progress)

    def save(self, progress: Progress) -> None:
        """Make a checkpoint: whole or not at all."""
        with written_whole(self.directory / "job.json") as beside:
            beside.write_bytes(msgspec.json.encode(progress))
        self.is_worth_keeping = progress.num_rows > 0

    def go_on(self) -> None:
        """Forget that the split has failed: it goes on."""
        (self.directory / FAILED).unlink(missing_ok=True)

    def fail(self) -> None:
        """Note that the split ends by itself, with an error, after its last checkpoint."""
        with contextlib.suppress(OSError):
            if self.is_worth_keeping:
                (self.directory / FAILED).touch()
            else:
                self.end()

    def add_chunk(self, output: str, index: int, entry: ChunkEntry) -> None:
        """Note that a chunk is there, whole."""
        with open(self._journal, "ab") as file:
            file.write(msgspec.json.encode(_Line(output, index, entry)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished[output, index] = entry

    def end(self) -> None:
        """Give up what has not been put in its place.

        Chunks that an earlier version put there at once go too, unless a manifest lists them.
        """
        for output in {output for output, _ in self.finished}:
            directory, staged = output_directory(self._root, output), self.staged(output)
            manifest = directory / MANIFEST_NAME
            listed = {entry.file for entry in read_manifest(manifest).chunks} if manifest.is_file() else set()
            files = {entry.file for (name, _), entry in self.finished.items() if name == output}
            for file in sorted(files - listed):
                if not (staged / file).exists():
                    remove_own(directory / file)
        remove_staging(self.directory)
        self.finished, self.is_worth_keeping = {}, False

    def _give_up(self) -> str:
        return f"Give up what was begun: pyloader split {self._root}/ --discard-stopped"

    def _journal_lines(self) -> list[_Line]:
        data = self._journal.read_bytes() if self._journal.exists() else b""
        whole = data.rfind(b"\n") + 1  # a line without its end was being written when the run was killed
        if whole < len(data):
            os.truncate(self._journal, whole)
        return [msgspec.json.decode(line, type=_Line) for line in data[:whole].splitlines()]
