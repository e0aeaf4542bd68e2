"""A chunk in any form that a name can say: the same rows as text, arrays, records or a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader.files.compressors import open_packed

__all__ = ["write_form"]


def write_form(
    path: Path,
    *,
    lines: Iterable[bytes] = (),
    array: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    records: Iterable[bytes],
    group: int,
    table: Mapping[str, Any],
) -> Path:
    """Write the chunk, and return its path; skips the test where a form needs a package that is not installed.

    Args:
      path: The name says the form, and how it is packed: `c.jsonl.gz`, `c.columns`, `packed.npz`.
      lines: Of text.
      array: Of `.npy`.
      arrays: Of `.npz` and `.columns`; the first is the tokens of `.bin`.
      records: Of ArrayRecord, in groups of `group`.
      table: Columns of Arrow and Parquet.
    """
    suffix = path.suffixes[0]
    if suffix == ".npz":
        (np.savez_compressed if path.name.startswith("packed") else np.savez)(path, **arrays)
    elif suffix == ".columns":
        path.mkdir()
        for name, values in arrays.items():
            np.save(path / f"{name}.npy", values)
    elif suffix == ".bin":
        next(iter(arrays.values())).astype(np.uint16).tofile(path)
    elif suffix == ".arrayrecord":
        module = pytest.importorskip("array_record.python.array_record_module")
        writer = module.ArrayRecordWriter(str(path), f"group_size:{group},zstd")
        for record in records:
            writer.write(record)
        writer.close()
    elif suffix in (".parquet", ".arrow", ".feather"):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        made = arrow.table(dict(table))
        if suffix == ".parquet":
            parquet.write_table(made, path)
        else:
            new = arrow.ipc.new_file if suffix == ".arrow" else arrow.ipc.new_stream
            with new(path, made.schema) as file:
                file.write_table(made)
    else:
        with open_packed(path, "wb") as file:
            if suffix == ".npy":
                np.save(file, array)
            else:
                file.write(b"".join(lines))
    return path
