"""The digests of a dump's files, put together of what the tasks of a split have read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyloader.write.input_files import InputFile
from pyloader.write.inputs import Inputs
from pyloader.write.media import MEDIA
from pyloader.write.receipts import FileReceipt, ReadReceipt, Receipt, UnitReceipt
from pyloader.write.units import plan_units

__all__ = ["digests_of_inputs", "files_of_no_unit"]


def files_of_no_unit(inputs: Inputs, columns: Sequence[str] | None) -> list[tuple[str, InputFile]]:
    """Return the files of which no unit reads every byte, each behind the name of the task that does.

    Objects of a store are not fetched for that: they are known by name, size and version.

    Args:
      inputs: The dump.
      columns: The columns that are kept; None is all.
    """
    if inputs.format in MEDIA:
        return []  # each would be read twice; they are known by name, size and time
    if columns is not None and inputs.format in ("parquet", "arrow", "npz"):
        return []  # most of the file may be in other columns
    through = {source.name for source in inputs.sources if source.is_read_through}
    others = ((index, file) for index, file in enumerate(inputs.files) if file.path not in through)
    return [(f"file-{index:06d}", file) for index, file in others if not file.is_stored]


def digests_of_inputs(
    inputs: Inputs,
    unit_bytes: int,
    units: Sequence[UnitReceipt],
    receipts: Mapping[str, Receipt],
    apart: Sequence[tuple[str, InputFile]],
) -> dict[str, list[str]]:
    """Return the digests of each file's parts, in order, by its path.

    Args:
      inputs: The dump.
      unit_bytes: The size of a unit.
      units: The receipts of all units.
      receipts: Those of all tasks, by name.
      apart: The files that tasks of their own have read, as `files_of_no_unit` has them.
    """
    read = receipts.get(ReadReceipt().name)
    parts = {name: [digest] for name, digest in read.streams.items()} if isinstance(read, ReadReceipt) else {}
    by_name = {receipt.name: receipt for receipt in units}
    for unit in plan_units(inputs.sources, unit_bytes):
        found = by_name.get(unit.name)
        if unit.stream is None and found is not None:
            for (source, _), digest in zip(unit.spans, found.parts_read, strict=False):
                parts.setdefault(source.name, []).append(digest)
    for name, file in apart:
        if isinstance(through := receipts.get(name), FileReceipt):
            parts[file.path] = [through.digest]
    return parts
