"""What the units of a dump say of its columns, put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NoReturn

import msgspec

from pyloader.errors import SplitError
from pyloader.write.inputs import Inputs
from pyloader.write.lines import Lines
from pyloader.write.preparing import Learnt, Preparation
from pyloader.write.ragged_form import joint_dtype
from pyloader.write.receipts import UnitReceipt
from pyloader.write.record_values import unfit_together
from pyloader.write.request import Request
from pyloader.write.units import plan_units

__all__ = ["go_past", "joined"]


def joined(
    receipts: Sequence[UnitReceipt], request: Request, inputs: Inputs, lines: Lines, *, unit_bytes: int
) -> Learnt:
    """Return what all units say together.

    Args:
      receipts: What came of each unit, in order.
      request: The options.
      inputs: The dump.
      lines: Counts its lines.
      unit_bytes: About how large its units are.

    Raises:
      SplitError: what is good in each unit cannot stand in one column; the unit is read again, to name the line.
    """
    total: Learnt = _copy(receipts[0].learnt)
    _check(total, None, receipts[0], request, inputs, lines, unit_bytes)
    for receipt in receipts[1:]:
        before = _copy(total)
        total.join(receipt.learnt)
        _check(total, before, receipt, request, inputs, lines, unit_bytes)
    if total.layout.form_name is None:
        found = next(receipt.learnt.layout for receipt in receipts if receipt.learnt.layout.form_name)
        total.layout.format_name, total.layout.form_name = found.format_name, found.form_name
        total.layout.arrays = found.arrays
    return total


def go_past(error: Exception, name: str, line: int, stage: str) -> None:
    """Go past a bad row: somebody else counts it."""


def _copy(learnt: Learnt) -> Learnt:
    return msgspec.json.decode(msgspec.json.encode(learnt), type=Learnt)


def _check(
    total: Learnt,
    before: Learnt | None,
    receipt: UnitReceipt,
    request: Request,
    inputs: Inputs,
    lines: Lines,
    unit_bytes: int,
) -> None:
    name = _unfit(total, request, inputs)
    if name is None:
        return
    unit = next(
        unit for unit in plan_units(inputs.sources, unit_bytes) if unit.index == int(receipt.name.split("-")[1])
    )
    if unit.stream is None:
        preparation = Preparation(before or total, request, inputs.format, go_past)
        try:
            for source, span in unit.spans:
                with closing(source.blocks(span)) as blocks:
                    for block in blocks:
                        preparation.rows(block, source.name)
        except SplitError as exc:
            raise lines.located(unit, exc) from exc.__cause__
    _refuse(name, request)


def _refuse(name: str, request: Request) -> NoReturn:
    what = f"has values in {name!r} that cannot stand in one column."
    raise SplitError(request.shown_inputs(), what, "Give all of them the same kind")


def _unfit(learnt: Learnt, request: Request, inputs: Inputs) -> str | None:
    """Return the name of a column whose values cannot stand together; None where all can."""
    for name, dtypes in learnt.layout.ragged.items():
        if joint_dtype(dtypes) is None:
            return name
    for name, kinds in learnt.layout.kinds.items():
        if unfit_together(kinds):
            return name
        fill = (request.fill or {}).get(name)
        keeps_lines = inputs.format == "jsonl" and learnt.layout.form_name == "json"
        # A NaN is null in a line, which is read as NaN again only in a column of numbers.
        if keeps_lines and fill is not None and fill != fill and learnt.filled.get(name) and kinds - {"int", "float"}:
            return name
    return None
