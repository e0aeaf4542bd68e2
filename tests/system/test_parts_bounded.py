"""Law 1 over parts: one file of 200 MB is indexed and read by a process that may take 100 MB beside its own."""

from __future__ import annotations

import io
import itertools
import struct
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from products import ALL

FILE_BYTES = 200 * 10**6
EXTRA_BYTES = 100 * 10**6


def json_lines() -> tuple[bytes, bytes, bytes]:
    return b"".join(b'{"n": %d, "s": "%s"}\n' % (row, b"%07d" % row * 60) for row in range(5000)), b"", b""


def table() -> tuple[bytes, bytes, bytes]:
    return b"".join(b'%d,"a, ""%s"""\n' % (row, b"%07d" % row * 56) for row in range(5000)), b"n,s\n", b""


def frames() -> tuple[bytes, bytes, bytes]:
    lines = b"".join(b"%s\n" % (b"%07d" % row * 57) for row in range(5000))
    return zstandard.compress(lines), b"", b""


def archive() -> tuple[bytes, bytes, bytes]:
    """Return samples whose names begin with eight letters: in another order they have the same checksum."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in range(2000):
            member = tarfile.TarInfo(f"ABCDEFGH{row:05}.txt")
            member.size = 400
            tar.addfile(member, io.BytesIO(b"%05d" % row * 80))
    return made.getvalue()[: 2000 * 1024], b"", bytes(1024)


def records() -> tuple[bytes, bytes, bytes]:
    crc = pytest.importorskip("google_crc32c")

    def masked(content: bytes) -> bytes:
        value = crc.value(content)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    # tf.train.Example with one feature "x" of one bytes value
    value = b"\x0a\x90\x03" + b"v" * 400
    feature = b"\x0a\x01x\x12\x96\x03\x0a\x93\x03" + value
    record = b"\x0a\x9f\x03\x0a\x9c\x03" + feature
    length = struct.pack("<Q", len(record))
    return (length + masked(length) + record + masked(record)) * 5000, b"", b""


BLOCKS = {".jsonl": json_lines, ".csv": table, ".zst": frames, ".tar": archive, ".tfrecord": records}


def write(path: Path) -> None:
    if path.suffix == ".npy":
        array = np.lib.format.open_memmap(path, "w+", "f4", (FILE_BYTES // 4000, 1000))
        array[:] = np.arange(len(array), dtype="f4")[:, None]
        array.flush()
    elif path.suffix in BLOCKS:
        block, begin, end = BLOCKS[path.suffix]()
        num_blocks = FILE_BYTES // len(zstandard.decompress(block) if path.suffix == ".zst" else block) + 1
        with open(path, "wb") as file:
            file.write(begin)
            for letters in itertools.islice(itertools.permutations(b"ABCDEFGH"), num_blocks):
                file.write(block.replace(b"ABCDEFGH", bytes(letters)))
            file.write(end)
    else:
        table = pa.table({"x": np.arange(250_000) * 0.5})
        with pq.ParquetWriter(path, table.schema, use_dictionary=False, compression="none") as writer:
            for _ in range(FILE_BYTES // 2_000_000):
                writer.write_table(table, row_group_size=250_000)


# As much address space as it has when all is imported and has run once, and so much more.
SCRIPT = """
    import os, resource, sys
    from pyloader import DataLoader
    from pyloader.cli.main import main

    def walk(path):
        assert main(["index", path, "--chunk-bytes", "4MB", "--checksums", "-q"]) == 0
        num_rows = 0
        # Threads that begin later would take address space of their own, for their stacks and what they allocate.
        with DataLoader(
            data_dir=path, batch_size=1000, shuffle=True, num_epochs=1, num_readers=1, num_workers=1
        ) as loader:
            for batch in loader:
                num_rows += len(next(iter(batch.values())))
            return num_rows, len(loader)

    walk(sys.argv[1])
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limit = used + int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(*walk(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the address space is read in /proc")
@pytest.mark.skipif(not ALL, reason="it takes half a minute: PYLOADER_ALL=1")
@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".jsonl", ".csv", ".txt.zst", ".tar", ".tfrecord"])
def test_one_large_file_is_read_in_parts_within_half_of_its_size(tmp_path, monkeypatch, suffix):
    path, small = tmp_path / f"big{suffix}", tmp_path / f"small{suffix}"
    with monkeypatch.context() as smaller:
        smaller.setattr(f"{__name__}.FILE_BYTES", 10**7)
        write(small)
    write(path)
    assert suffix == ".txt.zst" or path.stat().st_size >= FILE_BYTES * 0.95
    words = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(small), str(path), str(EXTRA_BYTES)]
    out = subprocess.run(words, capture_output=True, text=True)
    assert not out.returncode, out.stderr[-2000:]
    num_rows, num_steps = map(int, out.stdout.split())
    assert num_steps == -(-num_rows // 1000)
    row_bytes = {".parquet": 8, ".npy": 4000, ".tar": 1024}.get(suffix, 400)
    assert num_rows * row_bytes >= FILE_BYTES * 0.9
    path.unlink()
