"""Which line of a file a row of a unit stands in: units count their own lines, and people count those of files."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pyloader.errors import SplitError
from pyloader.write.inputs import Inputs
from pyloader.write.job import Receipt, UnitReceipt
from pyloader.write.left_out import BadRow
from pyloader.write.line_files import lines_before
from pyloader.write.units import Unit, plan_units

__all__ = ["Lines"]


class Lines:
    """Counts lines.

    Args:
      inputs: The dump.
      unit_bytes: About how large its units are.
    """

    def __init__(self, inputs: Inputs, unit_bytes: int) -> None:
        self._inputs, self._unit_bytes = inputs, unit_bytes

    def before(self, unit: Unit) -> int:
        """Return how many lines of its file are before a unit; the file is read up to there for it."""
        if unit.first_line:
            return unit.first_line - 1
        source, span = unit.spans[0]
        return lines_before(source.name, span.start) if self._inputs.format in ("jsonl", "text") else 0

    def located(self, unit: Unit, exc: SplitError) -> SplitError:
        """Return the error of a unit with the line in the file."""
        if exc.line is None or unit.first_line == 1:
            return exc
        return type(exc)(exc.path, exc.what, exc.hint, exc.line + self.before(unit))

    def of_rows(self, unit: Unit, rows: list[BadRow]) -> list[BadRow]:
        """Return rows of a unit with their lines in the file."""
        before = self.before(unit) if rows else 0
        return [msgspec.structs.replace(row, line=row.line + before) for row in rows]

    def left_out(self, receipts: Mapping[str, Receipt]) -> list[BadRow]:
        """Return the rows that all finished units left out, in the order of the dump."""
        units = {unit.index: unit for unit in plan_units(self._inputs.sources, self._unit_bytes)}
        rows: list[BadRow] = []
        first_line: dict[int, int] = {}  # of the next piece of each stream
        for receipt in sorted(receipts.values(), key=lambda receipt: receipt.name):
            if not isinstance(receipt, UnitReceipt):
                continue
            unit = units[int(receipt.name.split("-")[1])]
            if unit.stream is not None:
                before = first_line.get(unit.index, 0)
                first_line[unit.index] = before + receipt.num_lines
                rows += [msgspec.structs.replace(row, line=row.line + before) for row in receipt.bad]
            else:
                rows += self.of_rows(unit, receipt.bad)
        return rows
