"""Parts of a file: what holds for those of every reader, tried on copies that have nothing but a part's bytes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pyloader.columns import Columns, concatenate_columns
from pyloader.datareader import DataReader, read_chunk
from pyloader.files import file_spans
from pyloader.part import Part
from pyloader.testing.readers import assert_same_columns

__all__ = ["check_parts"]


def check_parts(reader: DataReader, path: Path, scratch: Path, **sizes: int) -> list[Part]:
    """Assert that the parts of a file, joined, are the file, each read from a copy with its own bytes; return them."""
    sizes = {"chunk_bytes": 2**20} | sizes
    parts = reader.find_parts(str(path), **sizes)
    assert parts == reader.find_parts(str(path), **sizes)
    assert parts is not None
    read: list[Columns] = []
    for number, part in enumerate(parts):
        assert json.loads(json.dumps(part.detail)) == part.detail
        copy = scratch / f"copy-{number}" / path.name
        copy.parent.mkdir(parents=True)
        _copy_ranges(path, copy, part.ranges)
        read.append(read_chunk(reader, copy, part))
    assert [part.first for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert_same_columns(read_chunk(reader, path), concatenate_columns(read), f"{path.name} was read, and its parts")
    return parts


def _copy_ranges(path: Path, copy: Path, ranges: tuple[tuple[int, int], ...]) -> None:
    if not path.is_dir():
        _zero_outside(path, copy, ranges)
        return
    shutil.copytree(path, copy)
    for name, begin, end in file_spans(path):
        within = [(max(start, begin) - begin, min(stop, end) - begin) for start, stop in ranges]
        _zero_outside(path / name, copy / name, tuple((a, b) for a, b in within if a < b))


def _zero_outside(path: Path, copy: Path, ranges: tuple[tuple[int, int], ...]) -> None:
    data = path.read_bytes()
    with open(copy, "wb") as file:
        os.truncate(file.fileno(), len(data))
        for start, stop in ranges:
            file.seek(start)
            file.write(data[start:stop])
