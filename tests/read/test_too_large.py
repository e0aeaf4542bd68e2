"""Files that are one chunk, and larger than the memory: an error that names what helps, before memory is taken."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from pyloader import DataLoader, HuggingFaceReader, NumpyReader, TokenReader, reader_for
from pyloader.cli.main import main
from pyloader.errors import MemoryBoundError
from pyloader.files import open_packed, room, room_of
from pyloader.machine.memory import keep_freed_memory

MiB = 2**20
CLAIMED = 2**40  # bytes, which are not on the disk
UNPACKED = 6 * MiB
MOST_TAKEN = 4 * MiB


@contextmanager
def little_is_taken() -> Iterator[None]:
    """Fail where the block has taken more memory than reading ahead needs."""
    keep_freed_memory()  # which takes a block once, and frees it untouched
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_TAKEN
    finally:
        tracemalloc.stop()


def npy_header(*, fortran_order: bool) -> bytes:
    header = io.BytesIO()
    said = {"descr": "<f4", "fortran_order": fortran_order, "shape": (CLAIMED // 4096, 1024)}
    np.lib.format.write_array_header_1_0(header, said)
    return header.getvalue()


def write_litdata_index(directory) -> None:
    leaf = {"type": None, "context": None, "children_spec": []}
    config = {"data_format": ["bytes"], "data_spec": json.dumps([1, leaf])}
    (directory / "index.json").write_text(json.dumps({"chunks": [], "config": config}))


def write_megatron_index(directory) -> None:
    count, length = 512, CLAIMED // 1024
    with open(directory / "documents.idx", "wb") as file:
        file.write(struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, count, count + 1))
        np.full(count, length, "<i4").tofile(file)
        (np.arange(count) * 2 * length).astype("<i8").tofile(file)
        np.arange(count + 1, dtype="<i8").tofile(file)


BEGINNINGS = {"rows.npy": npy_header(fortran_order=False), "columns.npy": npy_header(fortran_order=True)}
PLAIN = ["a.txt", "a.jsonl", "a.csv", "a.tar", "a.tfrecord", "a.mds", "a.npz", "flat.bin", *BEGINNINGS]


def reader_of(path):
    return TokenReader(window=16, dtype="uint16") if path.name.startswith("flat") else reader_for(str(path))


@pytest.mark.parametrize("name", [*PLAIN, "chunk-0-0.bin", "documents.bin"])
def test_a_file_that_is_larger_than_the_memory_is_refused_before_it_is_read_whole(tmp_path, name):
    if name == "documents.bin":
        write_megatron_index(tmp_path)
    elif name == "chunk-0-0.bin":
        write_litdata_index(tmp_path)
    path, begin = tmp_path / name, BEGINNINGS.get(name, b"")
    path.write_bytes(begin)
    os.truncate(path, CLAIMED + len(begin))
    expected = rf"{name}: is to be read at once and has 1,100 GB, .*pyloader index FILE\..*pyloader split$"
    with little_is_taken(), pytest.raises(MemoryBoundError, match=expected):
        reader_of(path).read_file(str(path))


PACKED = ["a.tar.gz", "a.tar.zst", "a.tfrecord.gz", "a.mds.zstd", "a.mds.bz2", "flat.bin.zst", "chunk-0-0.zstd.bin"]


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_one_chunk_and_stops_at_its_bound(tmp_path, name):
    write_litdata_index(tmp_path)
    path = tmp_path / name
    with open_packed(path, "wb", packing=".zst" if name.startswith("chunk") else None) as file:
        for _ in range(UNPACKED // MiB):
            file.write(bytes(MiB))
    expected = rf"{name}: takes more than 1\.0 MB unpacked.*Split it into smaller chunks: pyloader split"
    with little_is_taken(), room_of(MiB), pytest.raises(MemoryBoundError, match=expected):
        reader_of(path).read_file(str(path))


def test_a_mapped_array_in_fortran_order_is_refused_before_it_is_copied(tmp_path, capsys):
    path = tmp_path / "columns.npy"
    path.write_bytes(BEGINNINGS[path.name])
    os.truncate(path, CLAIMED + path.stat().st_size)
    with little_is_taken(), pytest.raises(MemoryBoundError, match=r"is to be read at once and has 1,100 GB"):
        NumpyReader(mmap=True).read_file(str(path))
    assert main(["index", str(path)]) == 2
    assert "make smaller files: pyloader split" in capsys.readouterr().err


def test_a_saved_dataset_that_is_one_chunk_is_refused_before_it_is_read(tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"n": arrow.array(range(MiB))})
    with arrow.ipc.new_stream(tmp_path / "a.arrow", table.schema) as stream:
        stream.write_table(table)
    monkeypatch.setattr(room, "half_of_memory", lambda: MiB)
    expected = r"is to be read at once and has 8\.4 MB, more than the memory of 2\.1 MB\."
    with pytest.raises(MemoryBoundError, match=expected):
        HuggingFaceReader().read_file(str(tmp_path / "a.arrow"))


@pytest.mark.slow
def test_what_index_and_split_make_of_it_is_read_within_the_memory(tmp_path, monkeypatch):
    rows = np.arange(2 * MiB, dtype=np.int64).reshape(-1, 512)
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "columns.npy", np.asfortranarray(rows))
    monkeypatch.setattr(room, "half_of_memory", lambda: 5 * MiB)
    for name in ("rows.npy", "columns.npy"):
        with pytest.raises(MemoryBoundError), DataLoader(data_dir=tmp_path / name, batch_size=512) as loader:
            next(loader)
    assert main(["index", str(tmp_path / "rows.npy"), "--chunk-bytes", "2MB", "-q"]) == 0
    assert main(["split", str(tmp_path / "columns.npy"), str(tmp_path / "chunks"), "--chunk-bytes", "2MB", "-q"]) == 0
    for name in ("rows.npy", "chunks"):
        with DataLoader(data_dir=tmp_path / name, batch_size=512, num_epochs=1) as loader:
            assert sum(len(next(iter(batch.values()))) for batch in loader) == len(rows)


def test_a_larger_max_bytes_goes_further(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"ab\n" * MiB)
    monkeypatch.setattr(room, "half_of_memory", lambda: MiB)
    with room_of(4 * MiB):
        assert reader_for("a.txt").read_file(str(tmp_path / "a.txt"))[1] == MiB
