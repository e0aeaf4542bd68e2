"""Which line of a file a row of a unit stands in: units count their own lines, and people count those of files."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pyloader.errors import SplitError
from pyloader.write.inputs import Inputs
from pyloader.write.left_out import BadRow
from pyloader.write.line_files import lines_before
from pyloader.write.receipts import Receipt, UnitReceipt
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
        return lines_before(source.opens, span.start) if self._inputs.format in ("jsonl", "text", "csv", "tsv") else 0

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
        finished = [receipt for receipt in receipts.values() if isinstance(receipt, UnitReceipt)]
        rows: list[BadRow] = []
        number, following = 0, -1  # lines of the file before the unit of that index, when the one before is finished
        for receipt in sorted(finished, key=lambda receipt: receipt.name):
            index = int(receipt.name.split("-")[1])
            if receipt.first_line:
                number = receipt.first_line - 1
            elif index != following:
                number = self.before(units[index])
            rows += [msgspec.structs.replace(row, line=row.line + number) for row in receipt.bad]
            # Of tables the lines are not counted while they are read.
            number, following = number + receipt.num_lines, index + 1 if receipt.num_lines else -1
        return rows
