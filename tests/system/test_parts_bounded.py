"""Law 1 over parts: one file of 200 MB is indexed and read by a process that may take 100 MB beside its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from products import ALL

FILE_BYTES = 200 * 10**6
EXTRA_BYTES = 100 * 10**6


def write(path: Path) -> None:
    if path.suffix == ".npy":
        array = np.lib.format.open_memmap(path, "w+", "f4", (FILE_BYTES // 4000, 1000))
        array[:] = np.arange(len(array), dtype="f4")[:, None]
        array.flush()
    elif path.suffix == ".jsonl":
        block = b"".join(b'{"n": %d, "s": "%s"}\n' % (row, b"%07d" % row * 60) for row in range(5000))
        with open(path, "wb") as file:
            while file.tell() < FILE_BYTES:
                file.write(block)
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
        with DataLoader(data_dir=path, batch_size=1000, shuffle=True, num_epochs=1) as loader:
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
@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".jsonl"])
def test_one_large_file_is_read_in_parts_within_half_of_its_size(tmp_path, monkeypatch, suffix):
    path, small = tmp_path / f"big{suffix}", tmp_path / f"small{suffix}"
    with monkeypatch.context() as smaller:
        smaller.setattr(f"{__name__}.FILE_BYTES", 10**7)
        write(small)
    write(path)
    assert path.stat().st_size >= FILE_BYTES * 0.95
    words = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(small), str(path), str(EXTRA_BYTES)]
    out = subprocess.run(words, capture_output=True, text=True)
    assert not out.returncode, out.stderr[-2000:]
    num_rows, num_steps = map(int, out.stdout.split())
    assert num_steps == -(-num_rows // 1000)
    assert num_rows * {".parquet": 8, ".npy": 4000, ".jsonl": 400}[suffix] >= FILE_BYTES * 0.9
    path.unlink()
