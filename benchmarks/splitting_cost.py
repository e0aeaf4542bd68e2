"""What a split costs, in tasks, files, bytes and reads: the model of docs/splitting.md, and a run that is scaled down.

    python benchmarks/splitting_cost.py [--scale 1000] [--terabytes 1] [--workers 2] [--row-bytes 400]

Makes a dump of JSON lines that is `--scale` times smaller, splits it, shuffled, with units, chunks and ranges that are
as many times smaller, and shows what the model says and what was counted.  Ends with 1 where the two differ by 5%.
The blocks that are put aside together stay as large: there are fewer reads of rows put aside than at full size.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from making import place

from pyloader.write import aside, job, ranges, receipts, segments, split, units

CHUNK_BYTES = 2**26
INDEX_BYTES = 16  # of a row that is put aside: its key, and its length
FRAME_BYTES = 48  # of rows of a range that are put aside together, beside them


@dataclass(frozen=True)
class Sizes:
    """What decides about the number of tasks, in bytes.

    Attributes:
      unit: Of the dump.
      chunk: Before compression.
      range: Of keys.
      pending: Rows that wait to be put aside together.
    """

    unit: int = units.MAX_UNIT_BYTES
    chunk: int = CHUNK_BYTES
    range: int = ranges.MAX_RANGE_BYTES
    pending: int = aside.PENDING_BYTES

    def scaled(self, scale: int) -> Sizes:
        """Return units, chunks and ranges that are so many times smaller."""
        return replace(self, unit=self.unit // scale, chunk=self.chunk // scale, range=self.range // scale)


def cost(num_bytes: int, num_rows: int, sizes: Sizes, fans: tuple[int, ...]) -> dict[str, int]:
    """Return what a shuffled split of JSON lines of so many bytes costs.

    Args:
      num_bytes: Of the dump.
      num_rows: In it.
      sizes: Of units, chunks, ranges and blocks.
      fans: Into how many ranges each round parts those before it.
    """
    unit = max(sizes.chunk, min(-(-num_bytes // 64), sizes.unit))
    num_units, num_chunks = -(-num_bytes // unit), -(-num_bytes // sizes.chunk)
    files, num_ranges, range_tasks, reads, put_aside, bytes_read = num_units, 1, 0, 0.0, 0.0, float(num_bytes)
    for level, fan in enumerate(fans):
        if level:
            files = num_ranges * -(-num_bytes // (num_ranges * unit))
            range_tasks += files
        # Blocks of rows are put aside; each has rows of most of the ranges.
        blocks = max(1, -(-(num_bytes + aside.ROW_BYTES * num_rows) // (files * sizes.pending)))
        num_ranges *= fan
        frames = files * blocks * fan * -math.expm1(-num_rows / (files * blocks * fan))
        # A range is read once, the last time by each chunk that has a share of it.
        again = 1.0 if level < len(fans) - 1 else (num_ranges + num_chunks - 1) / num_ranges
        reads += frames * again
        bytes_read += again * (num_bytes + INDEX_BYTES * num_rows + 8 * frames)
        put_aside += num_bytes + INDEX_BYTES * num_rows + FRAME_BYTES * frames
    return {
        "units": num_units,
        "range tasks": range_tasks,
        "chunks": num_chunks,
        "bytes read": round(bytes_read),
        "bytes put aside": round(put_aside),
        "reads of rows put aside": round(reads),
    }


def counted(dump: Path, output: Path, sizes: Sizes, workers: int) -> dict[str, int]:
    """Split, and return what that took."""
    found: Counter[str] = Counter({"bytes read": dump.stat().st_size})
    lock = threading.Lock()
    add, frame = job.Job.add, segments.Frames._frame
    kinds = {receipts.UnitReceipt: "units", receipts.RangeReceipt: "range tasks", receipts.ChunkReceipt: "chunks"}

    def counts_receipts(self: job.Job, receipt: Any) -> None:
        add(self, receipt)
        if type(receipt) in kinds:
            found[kinds[type(receipt)]] += 1
            found["bytes put aside"] += getattr(receipt, "file_bytes", 0)

    def counts_reads(self: segments.Frames, item: segments.Frame) -> Any:
        with lock:
            found["reads of rows put aside"] += 1
            found["bytes read"] += item.num_bytes
        return frame(self, item)

    units.MAX_UNIT_BYTES, units.MIN_UNIT_BYTES = sizes.unit, 1
    ranges.MAX_RANGE_BYTES = sizes.range
    job.Job.add, segments.Frames._frame = counts_receipts, counts_reads  # type: ignore[method-assign]
    split(dump, output, shuffle=True, chunk_bytes=sizes.chunk, workers=workers, engine="thread")
    return dict(found)


def main() -> int:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terabytes", type=float, default=1.0)
    parser.add_argument("--scale", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--row-bytes", type=int, default=400)
    arguments = parser.parse_args()
    num_bytes = int(arguments.terabytes * 1e12 / arguments.scale)
    sizes, root = Sizes().scaled(arguments.scale), place() / "splitting-cost"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    num_rows = num_bytes // arguments.row_bytes
    with open(root / "dump.jsonl", "w") as file:
        filling = "x" * (arguments.row_bytes - len('{"id": 1, "text": ""}\n') - 11)
        file.writelines(f'{{"id": {10**11 + n}, "text": "{filling}"}}\n' for n in range(num_rows))
    found = counted(root / "dump.jsonl", root / "chunks", sizes, arguments.workers)
    model = cost(num_bytes, num_rows, sizes, ranges.fan_outs(num_bytes))
    shutil.rmtree(root)
    print(
        f"{arguments.terabytes:g} TB, scaled down {arguments.scale:,} times, {len(ranges.fan_outs(num_bytes))} rounds"
    )
    for name, expected in model.items():
        print(f"{name:26} {expected:16,} by the model   {found.get(name, 0):16,} counted")
    return int(any(abs(found.get(name, 0) - expected) > 0.05 * expected for name, expected in model.items()))


if __name__ == "__main__":
    sys.exit(main())
