"""What a split did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyloader.columns import ColumnSpec
from pyloader.write.standing import look

__all__ = ["OutputReport", "SplitReport", "report_of"]


@dataclass(frozen=True, kw_only=True)
class OutputReport:
    """One directory of chunks.

    Attributes:
      directory: Where they are.
      counts: The samples of each chunk.
      num_bytes: Of all chunks on disk.
      raw_bytes: The same before compression.
    """

    directory: str
    counts: tuple[int, ...]
    num_bytes: int
    raw_bytes: int

    @property
    def num_samples(self) -> int:
        """How many samples all chunks hold."""
        return sum(self.counts)


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What a split did.

    Attributes:
      outputs: The directories of chunks, the main one first.
      columns: What each column is, sorted by name.
      format: The chunks' format, one of pyloader.write.FORMATS.
      num_written: Chunks written this time; 0 when all of them were there already.
      seconds: How long it took this time.
    """

    outputs: tuple[OutputReport, ...]
    columns: tuple[ColumnSpec, ...]
    format: str
    num_written: int
    seconds: float


def report_of(root: Path, outputs: Sequence[str], *, num_written: int, seconds: float) -> SplitReport:
    """Return what the manifests in `root` say, as a report."""
    manifests = look(root).manifests
    directories = []
    for output in outputs:
        chunks = manifests[output].chunks
        directories.append(
            OutputReport(
                directory=str(root / output),
                counts=tuple(chunk.num_samples for chunk in chunks),
                num_bytes=sum(chunk.num_bytes for chunk in chunks),
                raw_bytes=sum(chunk.raw_bytes for chunk in chunks),
            )
        )
    main = manifests[outputs[0]]
    return SplitReport(
        outputs=tuple(directories),
        columns=main.columns,
        format=main.reader,
        num_written=num_written,
        seconds=seconds,
    )
