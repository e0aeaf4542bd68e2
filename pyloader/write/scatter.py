"""The first pass: read the dump once, and put its rows aside, by output, in order or by their random keys."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from pyloader.write.blocks import Block, Place
from pyloader.write.holdout import assignment
from pyloader.write.inputs import Inputs
from pyloader.write.job import Progress
from pyloader.write.preparing import Preparation
from pyloader.write.rows import Rows, join_rows
from pyloader.write.sizes import ChunkSizes
from pyloader.write.spool import Segment, Spool, row_keys, segment_of

__all__ = ["PENDING_BYTES", "SEGMENT_BYTES", "Scatter", "segment_bits"]

# Rows waiting in memory to be put aside, and about the size of a segment.
PENDING_BYTES = 2**24
SEGMENT_BYTES = 2**24
_MAX_BITS = 14


class Scatter:
    """Puts rows aside.

    Args:
      directory: Where.
      progress: The checkpoint to go on from; kept up to date.
      outputs: Names of the outputs, the main one first.
      seed: Of the shuffle; None keeps the rows in order.
      holdout: Shares of the other outputs.
      cut: Where a segment ends, when segments are to become chunks one by one; None puts all rows aside first.

    Attributes:
      spools: One for each output.
    """

    def __init__(
        self,
        directory: Path,
        progress: Progress,
        *,
        outputs: tuple[str, ...],
        seed: int | None,
        holdout: Mapping[str, float] | None,
        cut: ChunkSizes | None,
        bits: int,
    ) -> None:
        self._progress, self._seed, self._holdout, self._cut, self._bits = progress, seed, holdout, cut, bits
        self.spools: dict[str, Spool] = {}
        self._pending: dict[str, list[tuple[Rows, np.ndarray | None]]] = {name: [] for name in outputs}
        self._pending_bytes = 0
        self._limit = PENDING_BYTES * (4 if bits > 8 else 1)
        for name in outputs:
            place = directory / f"rows-{name}"
            place.mkdir(exist_ok=True)
            segments = progress.segments.setdefault(name, [])
            if seed is not None and not segments:
                segments += [Segment() for _ in range(2**bits)]
            self.spools[name] = Spool(place, segments, is_keyed=seed is not None)

    def restore(self) -> bool:
        """Go back to the checkpoint; False when rows put aside before it are lost."""
        return all(spool.restore() for spool in self.spools.values())

    def run(
        self, inputs: Inputs, preparation: Preparation, *, checkpoint: Callable[[], None], seen: Callable[[int], None]
    ) -> None:
        """Read on to the end of the dump.

        Args:
          inputs: The dump.
          preparation: Turns blocks into rows.
          checkpoint: Called when all rows up to `progress.place` are put aside.
          seen: Called with the bytes of all sources read so far.
        """
        progress = self._progress
        before = sum(source.num_bytes for source in inputs.sources[: progress.source_index])
        while progress.source_index < len(inputs.sources):
            source = inputs.sources[progress.source_index]
            with closing(source.blocks(progress.place)) as blocks:
                for block in blocks:
                    self._take(block, preparation.rows(block, source.name))
                    seen(before + block.bytes_read)
                    if self._pending_bytes >= self._limit:
                        self._put_aside(preparation)
                        checkpoint()
            before += source.num_bytes
            progress.source_index, progress.place = progress.source_index + 1, Place()
        self._put_aside(preparation)
        progress.all_read = True
        checkpoint()

    def _take(self, block: Block, rows: Rows | None) -> None:
        progress = self._progress
        progress.place = block.after
        if rows is None:
            return
        # CRC-32: the one digest that can be gone on with from its own value, wherever blocks begin.
        progress.content = f"{zlib.crc32(rows.data, int(progress.content or '0', 16)):08x}"
        keys = None if self._seed is None else row_keys(self._seed, progress.num_rows, len(rows))
        progress.num_rows += len(rows)
        self._pending_bytes += len(rows.data) + 16 * len(rows)
        if not self._holdout:
            self._pending[next(iter(self.spools))].append((rows, keys))
            return
        output = assignment(rows, self._holdout)
        for index, pending in enumerate(self._pending.values()):
            chosen = np.flatnonzero(output == index)
            if len(chosen):
                pending.append((rows.take(chosen), None if keys is None else keys[chosen]))

    def _put_aside(self, preparation: Preparation) -> None:
        for name, pending in self._pending.items():
            if not pending:
                continue
            rows = join_rows([rows for rows, _ in pending])
            if self._seed is None:
                self._append_in_order(self.spools[name], rows)
            else:
                keys = np.concatenate([keys for _, keys in pending if keys is not None])
                self._append_by_key(self.spools[name], rows, keys)
            pending.clear()
        self._pending_bytes = 0
        self._progress.preparation = preparation.state()

    def _append_in_order(self, spool: Spool, rows: Rows) -> None:
        while len(rows):
            if not spool.segments:
                spool.segments.append(Segment())
            last = spool.segments[-1]
            if self._cut is not None:
                fits = self._cut.rows_that_fit(rows.lengths(), last.num_rows, last.raw_bytes)
            else:
                fits = len(rows) if last.raw_bytes < SEGMENT_BYTES else 0
            if fits:
                spool.append(len(spool.segments) - 1, rows.slice(0, fits))
                rows = rows.slice(fits, len(rows))
            if len(rows):
                spool.segments.append(Segment())

    def _append_by_key(self, spool: Spool, rows: Rows, keys: np.ndarray) -> None:
        segment = segment_of(keys, self._bits)
        order = np.argsort(segment, kind="stable")
        rows, keys, segment = rows.take(order), keys[order], segment[order]
        starts = np.flatnonzero(np.diff(segment, prepend=-1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            spool.append(int(segment[start]), rows.slice(start, stop), keys[start:stop])


def segment_bits(raw_bytes: int) -> int:
    """Return b such that 2**b segments hold a dump of about `raw_bytes`.  A wrong estimate costs time, never order."""
    return min(_MAX_BITS, max(0, -(-raw_bytes // SEGMENT_BYTES) - 1).bit_length())
