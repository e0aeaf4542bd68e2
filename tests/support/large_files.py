"""Files of every form that is cut into parts, and their indexes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard

from pyloader.columns import column_specs
from pyloader.datareader import DataReader, parts_of_file, read_chunk
from pyloader.files import Manifest, PartSizes, checksum_of, write_manifest
from pyloader.inspecting.part_entries import part_entries
from pyloader.part import Part
from pyloader.read import TokenReader, reader_for, reader_name

__all__ = ["FORMS", "NUM_ROWS", "index_of", "write_large"]

NUM_ROWS = 200


def _lines(row: int) -> bytes:
    return json.dumps({"n": row, "s": f"row {row:05d}"}).encode() + b"\n"


def _write_jsonl(path: Path) -> None:
    path.write_bytes(b"".join(map(_lines, range(NUM_ROWS))))


def _write_frames(path: Path) -> None:
    rows = [_lines(row) for row in range(NUM_ROWS)]
    path.write_bytes(b"".join(zstandard.compress(b"".join(rows[at : at + 10])) for at in range(0, NUM_ROWS, 10)))


def _write_csv(path: Path) -> None:
    path.write_text("n,s\n" + "".join(f'{row},"row\n{row}"\n' for row in range(NUM_ROWS)))


def _write_text(path: Path) -> None:
    path.write_text("".join(f"row {row}\n" for row in range(NUM_ROWS)))


def _write_npy(path: Path) -> None:
    np.save(path, np.arange(8 * NUM_ROWS).reshape(NUM_ROWS, 8))


def _write_tokens(path: Path) -> None:
    np.arange(16 * NUM_ROWS, dtype="<u2").tofile(path)


def _write_parquet(path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"n": range(NUM_ROWS), "s": [f"row {row}" * 9 for row in range(NUM_ROWS)]})
    parquet.write_table(table, path, row_group_size=20)


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for row in range(NUM_ROWS):
            for name in (f"{row:05d}.txt", f"{row:05d}.cls"):
                about = tarfile.TarInfo(name)
                about.size = 5
                archive.addfile(about, io.BytesIO(b"%05d" % row))


def _write_tfrecord(path: Path) -> None:
    crc32c = pytest.importorskip("google_crc32c")

    def masked(data: bytes) -> bytes:
        crc = crc32c.value(data)
        return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")

    with open(path, "wb") as file:
        for row in range(NUM_ROWS):
            example = _example(row)
            length = len(example).to_bytes(8, "little")
            file.write(length + masked(length) + example + masked(example))


def _example(row: int) -> bytes:
    """Return an Example of protobuf whose only feature, "n", is a list of one int64."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    value = bytes([row & 0x7F | 0x80, row >> 7])
    entry = field(1, b"n") + field(2, field(3, field(1, value)))
    return field(1, field(1, entry))


def _write_mds(path: Path) -> None:
    config = {
        "version": 2, "format": "mds", "column_names": ["n"], "column_encodings": ["int64"], "column_sizes": [8],
        "compression": None, "hashes": [], "size_limit": None,
    }  # fmt: skip
    said = json.dumps(config).encode()
    begin = 4 * (NUM_ROWS + 2) + len(said)
    offsets = begin + 8 * np.arange(NUM_ROWS + 1)
    words = np.concatenate([[NUM_ROWS], offsets]).astype("<u4")
    path.write_bytes(words.tobytes() + said + np.arange(NUM_ROWS).astype("<i8").tobytes())


FORMS: dict[str, Callable[[Path], None]] = {
    "x.jsonl": _write_jsonl,
    "x.jsonl.zst": _write_frames,
    "x.csv": _write_csv,
    "x.txt": _write_text,
    "x.npy": _write_npy,
    "x.bin": _write_tokens,
    "x.parquet": _write_parquet,
    "x.tar": _write_tar,
    "x.tfrecord": _write_tfrecord,
    "x.mds": _write_mds,
}


def write_large(directory: Path, name: str) -> Path:
    """Write a file of 200 samples in the form that its name says, and return its path; skips what lacks a package."""
    directory.mkdir(parents=True, exist_ok=True)
    FORMS[name](directory / name)
    return directory / name


def reader_of(path: Path) -> DataReader:
    """Return what reads such a file."""
    return TokenReader(window=16, dtype="uint16") if path.suffix == ".bin" else reader_for(str(path))


def _checksum(path: Path, part: Part) -> str:
    return checksum_of(path, part.ranges)


def index_of(path: Path, *, chunk_samples: int = 30, **sizes: Any) -> Path:
    """Write the index of a file, and return its path."""
    reader, sizes = reader_of(path), {"chunk_bytes": 2**20, "chunk_samples": chunk_samples, **sizes}
    parts = parts_of_file(reader, str(path), **sizes)
    assert parts is not None
    assert len(parts) > 3
    options = {"window": 16, "dtype": "uint16"} if path.suffix == ".bin" else {}
    manifest = Manifest(
        columns=column_specs(read_chunk(reader, path)),
        reader=reader_name(reader),
        reader_options=options,
        chunks=tuple(part_entries(path.name, path.stat().st_size, parts, partial(_checksum, path))),
        part_sizes=msgspec.convert(sizes, PartSizes),
    )
    target = path.with_name(f"{path.name}.manifest.json")
    write_manifest(target, manifest)
    return target
