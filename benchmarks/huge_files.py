"""One large file of every form that is cut into parts: samples of about 2 kB, written block by block."""

from __future__ import annotations

import io
import itertools
import json
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_BYTES = 2000
BLOCK_SAMPLES = 1000
_LETTERS = b"ABCDEFGH"  # in each block in another order, which leaves sums of bytes as they are
_TEXT = b"0123456789 of a text, " * 88  # what a sample holds beside its number

# Writes at least so many bytes into a directory, and returns what is indexed and how many samples it holds.
Writer = Callable[[Path, int], tuple[Path, int]]


def _write_blocks(path: Path, num_bytes: int, block: bytes, *, begin: bytes = b"", end: bytes = b"") -> int:
    """Write copies of a block of `BLOCK_SAMPLES` samples, and return how many samples these are."""
    num_blocks = -(-num_bytes // len(block))
    with open(path, "wb") as file:
        file.write(begin)
        for letters in itertools.islice(itertools.permutations(_LETTERS), num_blocks):
            file.write(block.replace(_LETTERS, bytes(letters)))
        file.write(end)
    return num_blocks * BLOCK_SAMPLES


def _block_of(line: Callable[[int], bytes]) -> bytes:
    return b"".join(map(line, range(BLOCK_SAMPLES)))


def write_text(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write lines."""
    path = root / "big.txt"
    return path, _write_blocks(path, num_bytes, _block_of(lambda row: b"%05d ABCDEFGH %s\n" % (row, _TEXT)))


def write_jsonl(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write JSON lines: a number and a text."""
    path = root / "big.jsonl"
    block = _block_of(lambda row: b'{"n": %d, "s": "ABCDEFGH %s"}\n' % (row, _TEXT))
    return path, _write_blocks(path, num_bytes, block)


def write_csv(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write rows of a number and a quoted text."""
    path = root / "big.csv"
    block = _block_of(lambda row: b'%d,"ABCDEFGH, ""%s"""\n' % (row, _TEXT))
    return path, _write_blocks(path, num_bytes, block, begin=b"n,s\n")


def write_frames(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write packed lines that take so many bytes unpacked, in frames of 2 MB."""
    import zstandard

    path, block = root / "big.txt.zst", _block_of(lambda row: b"%05d %s\n" % (row, _TEXT))
    num_blocks = -(-num_bytes // len(block))
    path.write_bytes(zstandard.compress(block) * num_blocks)
    return path, num_blocks * BLOCK_SAMPLES


def write_tar(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write samples of one file each, whose names begin with the letters: they differ from block to block."""
    made, path = io.BytesIO(), root / "big.tar"
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for row in range(BLOCK_SAMPLES):
            member = tarfile.TarInfo(f"ABCDEFGH{row:05}.txt")
            member.size = len(_TEXT)
            archive.addfile(member, io.BytesIO(_TEXT))
        size = archive.offset
    return path, _write_blocks(path, num_bytes, made.getvalue()[:size], end=bytes(1024))


def write_tfrecord(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write records of `tf.train.Example` with one feature of bytes."""
    import google_crc32c

    def masked(content: bytes) -> bytes:
        value = google_crc32c.value(content)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def field(content: bytes, key: int = 10) -> bytes:
        size, head = len(content), bytearray([key])
        while size >= 128:
            head.append(size & 127 | 128)
            size >>= 7
        return bytes([*head, size]) + content

    record = field(field(field(b"x") + field(field(field(_TEXT)), 18)))
    length, path = struct.pack("<Q", len(record)), root / "big.tfrecord"
    framed = length + masked(length) + record + masked(record)
    return path, _write_blocks(path, num_bytes, framed * BLOCK_SAMPLES)


def write_mds(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write an MDS shard by hand: a text and a number; such a shard has less than 4.29 GB."""
    config = {
        "version": 2, "format": "mds", "column_names": ["s", "n"], "column_encodings": ["str", "int64"],
        "column_sizes": [None, 8], "compression": None, "hashes": [], "size_limit": None,
    }  # fmt: skip
    block = _block_of(lambda row: struct.pack("<I", len(_TEXT)) + _TEXT + struct.pack("<q", row))
    return _with_offsets(root / "big.mds", num_bytes, block, json.dumps(config).encode())


def write_litdata(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write a chunk of litdata by hand: tuples of a text and a number; such a chunk has less than 4.29 GB."""
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": [leaf, leaf]}])
    config = {"data_format": ["str", "int"], "data_spec": spec, "item_loader": "PyTreeLoader"}
    (root / "index.json").write_text(json.dumps({"chunks": [], "config": config}))
    block = _block_of(lambda row: struct.pack("<II", len(_TEXT), 8) + _TEXT + struct.pack("<q", row))
    return _with_offsets(root / "chunk-0-0.bin", num_bytes, block, b"")


def _with_offsets(path: Path, num_bytes: int, block: bytes, said: bytes) -> tuple[Path, int]:
    """Write a table of where samples begin, what is said of them, and the samples."""
    num_samples, each = -(-num_bytes // len(block)) * BLOCK_SAMPLES, len(block) // BLOCK_SAMPLES
    first = 4 * (num_samples + 2) + len(said)
    offsets = first + each * np.arange(num_samples + 1)
    table = np.append(num_samples, offsets).astype("<u4").tobytes()
    return path, _write_blocks(path, num_bytes, block, begin=table + said)


def write_megatron(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write documents of 1,000 tokens of two bytes, and their index."""
    path, length = root / "big.bin", SAMPLE_BYTES // 2
    num_documents = _write_blocks(path, num_bytes, np.arange(length * BLOCK_SAMPLES).astype("<u2").tobytes())
    with open(root / "big.idx", "wb") as index:
        index.write(struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, num_documents, num_documents + 1))
        np.full(num_documents, length, "<i4").tofile(index)
        (np.arange(num_documents) * 2 * length).astype("<i8").tofile(index)
        np.arange(num_documents + 1, dtype="<i8").tofile(index)
    return path, num_documents


def write_tokens(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write flat tokens of two bytes, which are read as windows of 1,000."""
    path = root / "flat.bin"
    block = np.arange(SAMPLE_BYTES // 2 * BLOCK_SAMPLES).astype("<u2").tobytes()
    return path, _write_blocks(path, num_bytes, block)


def write_npy(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write one array of rows of 500 float32."""
    path, num_rows = root / "big.npy", -(-num_bytes // SAMPLE_BYTES)
    with open(path, "wb") as file:
        shape = (num_rows, SAMPLE_BYTES // 4)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for rows in _vectors(num_rows):
            rows.tofile(file)
    return path, num_rows


def write_hdf5(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write two datasets, one in packed storage chunks and one in one piece."""
    import h5py

    path, num_rows = root / "big.h5", -(-num_bytes // SAMPLE_BYTES)
    with h5py.File(path, "w") as file:
        shape = (num_rows, SAMPLE_BYTES // 4)
        x = file.create_dataset("x", shape, "f4", chunks=(BLOCK_SAMPLES, shape[1]), compression="lzf")
        n = file.create_dataset("n", (num_rows,), "i8")
        for number, rows in enumerate(_vectors(num_rows)):
            x[number * BLOCK_SAMPLES : number * BLOCK_SAMPLES + len(rows)] = rows
            n[number * BLOCK_SAMPLES : number * BLOCK_SAMPLES + len(rows)] = number
    return path, num_rows


def write_zarr(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write a directory of Zarr 2 by hand, of chunks of 2 MB that are not packed."""
    path, num_rows = root / "big.zarr", -(-num_bytes // (SAMPLE_BYTES * BLOCK_SAMPLES)) * BLOCK_SAMPLES
    (path / "x").mkdir(parents=True)
    width = SAMPLE_BYTES // 4
    said = {
        "zarr_format": 2, "shape": [num_rows, width], "chunks": [BLOCK_SAMPLES, width], "dtype": "<f4", "order": "C",
        "fill_value": 0, "compressor": None, "filters": None,
    }  # fmt: skip
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / "x" / ".zarray").write_text(json.dumps(said))
    for number, rows in enumerate(_vectors(num_rows)):
        rows.tofile(path / "x" / f"{number}.0")
    return path, num_rows


def _vectors(num_rows: int) -> Iterator[np.ndarray]:
    """Yield so many rows of 500 float32 that no filter packs, up to 1,000 at a time."""
    rng = np.random.default_rng(0)
    rows = rng.random((BLOCK_SAMPLES, SAMPLE_BYTES // 4), np.float32)
    for first in range(0, num_rows, BLOCK_SAMPLES):
        yield rows[: num_rows - first]


def write_array_record(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write records in groups of 100."""
    from array_record.python.array_record_module import ArrayRecordWriter

    path, num_records = root / "big.arrayrecord", -(-num_bytes // len(_TEXT))
    writer = ArrayRecordWriter(str(path), "group_size:100,uncompressed")
    for _ in range(num_records):
        writer.write(_TEXT)
    writer.close()
    return path, num_records


def _batches(num_bytes: int) -> Iterator[Any]:
    """Yield Arrow's record batches of a number and a text each."""
    import pyarrow as pa

    texts = pa.array([_TEXT.decode()] * BLOCK_SAMPLES)
    for first in range(0, -(-num_bytes // len(_TEXT)), BLOCK_SAMPLES):
        yield pa.record_batch({"n": np.arange(first, first + BLOCK_SAMPLES), "s": texts})


def _num_in_batches(num_bytes: int) -> int:
    return -(-num_bytes // len(_TEXT) // BLOCK_SAMPLES) * BLOCK_SAMPLES


def write_parquet(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write a table in row groups of 2 MB, neither packed nor in dictionaries."""
    import pyarrow.parquet as pq

    path, batches = root / "big.parquet", _batches(num_bytes)
    first = next(batches)
    with pq.ParquetWriter(path, first.schema, use_dictionary=False, compression="none") as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch, row_group_size=BLOCK_SAMPLES)
    return path, _num_in_batches(num_bytes)


def write_saved_dataset(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write what Hugging Face's save_to_disk writes: a stream of record batches of 2 MB."""
    import pyarrow as pa

    path, name, batches = root / "saved", "data-00000-of-00001.arrow", _batches(num_bytes)
    path.mkdir()
    first = next(batches)
    with pa.OSFile(str(path / name), "wb") as file, pa.ipc.new_stream(file, first.schema) as stream:
        for batch in itertools.chain([first], batches):
            stream.write_batch(batch)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (path / "dataset_info.json").write_text("{}")
    return path, _num_in_batches(num_bytes)


def write_lance(root: Path, num_bytes: int) -> tuple[Path, int]:
    """Write a Lance dataset of one file: rows of 500 float32, which it does not pack."""
    import lance
    import pyarrow as pa

    path, num_rows, width = root / "big.lance", -(-num_bytes // SAMPLE_BYTES), SAMPLE_BYTES // 4
    schema = pa.schema({"x": pa.list_(pa.float32(), width)})
    batches = (
        pa.record_batch([pa.FixedSizeListArray.from_arrays(rows.ravel(), width)], schema) for rows in _vectors(num_rows)
    )
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), path, max_rows_per_file=2**31 - 1)
    return path, num_rows


# Form -> what writes it, and which package that needs, or reading it; "" is none.
FORMS: dict[str, tuple[Writer, str]] = {
    "txt": (write_text, ""),
    "jsonl": (write_jsonl, ""),
    "csv": (write_csv, ""),
    "txt.zst": (write_frames, ""),
    "npy": (write_npy, ""),
    "tokens": (write_tokens, ""),
    "arrayrecord": (write_array_record, "array_record"),
    "parquet": (write_parquet, "pyarrow"),
    "tar": (write_tar, ""),
    "tfrecord": (write_tfrecord, "google_crc32c"),
    "mds": (write_mds, ""),
    "megatron": (write_megatron, ""),
    "litdata": (write_litdata, ""),
    "hdf5": (write_hdf5, "h5py"),
    "zarr": (write_zarr, ""),
    "save_to_disk": (write_saved_dataset, "pyarrow"),
    "lance": (write_lance, "lance"),
}
