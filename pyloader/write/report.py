"""What a split did."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyloader.columns import ColumnSpec
from pyloader.markup import notebook_table
from pyloader.options import format_bytes
from pyloader.write.beginning import chunk_sets

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


@dataclass(frozen=True, kw_only=True, repr=False)
class SplitReport:
    """What a split did.

    Attributes:
      outputs: The directories of chunks, the main one first.
      columns: What each column is, in the order of the dump's first sample.
      format: The registered name of the reader for the chunks: "jsonl", "columns", "arrayrecord" or "parquet".
      num_written: Chunks written this time; 0 when all of them were there already.
      seconds: How long it took this time.
      filled: Column -> how many samples lacked it, and got the value given with `fill`.
      num_skipped: Rows of the dump that were left out, as `max_skipped` allows.
      num_known: Inputs that were passed over, since they were taken in before.
      num_duplicates: Rows of the dump that were dropped, as `unique` says: their key is that of an earlier one.
      leftover_tokens: In no sample: after the last whole window of each file of tokens.
      labels: What the numbers in the column "label" of images stand for.
      why: Why the format is Parquet, where nobody said so; "" otherwise.
      note: That the set was made by another command than adds to it; "" otherwise.
    """

    outputs: tuple[OutputReport, ...]
    columns: tuple[ColumnSpec, ...]
    format: str
    num_written: int
    seconds: float
    filled: Mapping[str, int] = field(default_factory=dict)
    num_skipped: int = 0
    num_known: int = 0
    num_duplicates: int = 0
    leftover_tokens: int = 0
    labels: tuple[str, ...] = ()
    why: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain dicts, lists and numbers, as JSON has them; each output with its num_samples."""
        outputs = [{"num_samples": output.num_samples, **asdict(output)} for output in self.outputs]
        return {**asdict(self), "outputs": outputs, "filled": dict(self.filled)}

    def __str__(self) -> str:
        lines = [f"{output.directory}   {self._describe(output)}" for output in self.outputs]
        columns = ", ".join(map(str, self.columns))
        others = [self.note] if self.note else []
        return "\n".join([*lines, f"columns: {columns}", *others, self._describe_work()])

    def __repr__(self) -> str:  # what the interactive interpreter shows
        return str(self)

    def _repr_html_(self) -> str:  # what notebooks show
        rows = [(output.directory, self._describe(output)) for output in self.outputs]
        notes = {
            "rows left out": self.num_skipped,
            "duplicates dropped": self.num_duplicates,
            "inputs known already": self.num_known,
            "tokens left over": self.leftover_tokens,
        }
        counted = [(name, f"{number:,}") for name, number in notes.items() if number]
        columns = ("columns", ", ".join(map(str, self.columns)))
        return notebook_table(f"split: {self._describe_work()}", [*rows, columns, *counted])

    def _describe(self, output: OutputReport) -> str:
        samples = f"{output.num_samples:,} samples in {len(output.counts):,} chunks of {self.format}"
        return f"{samples}, {format_bytes(output.num_bytes)}"

    def _describe_work(self) -> str:
        return f"{self.num_written:,} written in {self.seconds:.1f} s"


def report_of(
    root: Path,
    outputs: Sequence[str],
    *,
    shown: str,
    num_written: int,
    seconds: float,
    num_known: int = 0,
    note: str = "",
) -> SplitReport:
    """Return what the manifests in `root` say, as a report that calls it `shown`."""
    found = chunk_sets(root)
    directories = tuple(
        OutputReport(
            directory=os.path.join(shown, output) if output else shown,
            counts=tuple(chunk.num_samples for chunk in found[output].chunks),
            num_bytes=sum(chunk.num_bytes for chunk in found[output].chunks),
            raw_bytes=sum(chunk.raw_bytes for chunk in found[output].chunks),
        )
        for output in outputs
    )
    main = found[outputs[0]]
    order = main.made_by.get("order", [])
    columns = sorted(main.columns, key=lambda spec: order.index(spec.name) if spec.name in order else len(order))
    return SplitReport(
        outputs=directories,
        columns=tuple(columns),
        format=main.reader,
        num_written=num_written,
        seconds=seconds,
        filled=main.made_by.get("filled", {}),
        num_known=num_known,
        num_skipped=main.made_by.get("num_skipped", 0),
        num_duplicates=main.made_by.get("num_duplicates", 0),
        labels=tuple(main.made_by.get("labels", ())),
        why=main.made_by.get("why", ""),
        note=note if num_written else "",
    )
