"""What a split has done so far, on disk: enough to go on after a kill at any moment.

Everything is below OUTPUT_DIR/.split: job.json (replaced as a whole at each checkpoint), chunks.jsonl (a line for each
finished chunk), and the rows put aside.  It goes when the manifests are written.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pyloader.errors import SplitError
from pyloader.files.manifest import ChunkEntry
from pyloader.write.atomic import remove, sync, written_whole
from pyloader.write.blocks import Place
from pyloader.write.preparing import Learnt
from pyloader.write.spool import Segment

__all__ = ["JOB_NAME", "Job", "Progress"]

JOB_NAME = ".split"
_VERSION = 1


class Progress(msgspec.Struct, kw_only=True):
    """A checkpoint.

    Attributes:
      fingerprint: Of the inputs and options.
      command: What made it, to be read.
      began_with_overwrite: Whether that command said --overwrite.
      kept: For each output the chunks that are there already and stay: what --append adds to.
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
    kept: dict[str, list[ChunkEntry]] = msgspec.field(default_factory=dict)
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
    """

    def __init__(self, output_dir: Path) -> None:
        self.directory = output_dir / JOB_NAME
        self.finished: dict[tuple[str, int], ChunkEntry] = {}
        self.is_worth_keeping = False
        self._journal = self.directory / "chunks.jsonl"

    def load(self) -> Progress | None:
        """Return the last checkpoint, and read which chunks are finished; None when no split is under way."""
        path = self.directory / "job.json"
        if not path.exists():
            remove(self.directory)  # left by a run that was killed in its very first or last step
            return None
        try:
            progress = msgspec.json.decode(path.read_bytes(), type=Progress)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise SplitError(str(path), f"is damaged ({exc}).", "Start afresh: --overwrite") from exc
        if progress.version != _VERSION:
            raise SplitError(str(path), f"is of version {progress.version}.", "Start afresh: --overwrite")
        self._read_journal()
        self.is_worth_keeping = progress.num_rows > 0
        return progress

    def begin(self, progress: Progress, finished: dict[tuple[str, int], ChunkEntry] | None = None) -> None:
        """Forget what was there, and begin."""
        remove(self.directory)
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

    def add_chunk(self, output: str, index: int, entry: ChunkEntry) -> None:
        """Note that a chunk is at its place."""
        with open(self._journal, "ab") as file:
            file.write(msgspec.json.encode(_Line(output, index, entry)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished[output, index] = entry

    def end(self) -> None:
        """Remove it all."""
        # The checkpoint first: without it, what is left is rubbish that the next split removes.
        remove(self.directory / "job.json")
        remove(self.directory)
        sync(self.directory.parent)

    def _read_journal(self) -> None:
        data = self._journal.read_bytes() if self._journal.exists() else b""
        whole = data.rfind(b"\n") + 1  # a line without its end was being written when the run was killed
        if whole < len(data):
            os.truncate(self._journal, whole)
        for line in data[:whole].splitlines():
            found = msgspec.json.decode(line, type=_Line)
            self.finished[found.output, found.index] = found.entry
