"""Footers of Parquet files that are damaged: errors, where pyarrow by itself ends the process."""

from __future__ import annotations

import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from products import ALL

from pyloader import ParquetReader
from pyloader.errors import ChunkReadError, DatasetError
from pyloader.indexed import ParquetDataset

# The bytes that these tests change are those of newer versions; older ones write no statistics of sizes.
needs_sizes = pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 20, reason="an older pyarrow writes other footers")

# Parts, some rows and a dataset of each file, all in one process.
SCRIPT = """
    import sys
    from pyloader import ParquetReader
    from pyloader.errors import FileError
    from pyloader.indexed import ParquetDataset

    for path in sys.argv[1:]:
        try:
            reader = ParquetReader()
            for part in reader.find_parts(path, chunk_bytes=100)[:2]:
                reader.read_part(path, part)
        except FileError:
            pass
        try:
            ParquetDataset(path)
        except FileError:
            pass
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.parquet"
    rows = pa.table({"n": range(60), "s": [f"row {row}" for row in range(60)], "l": [[1.0, 2.0]] * 60})
    pq.write_table(rows, path, row_group_size=20)
    return path


def run_over(paths):
    script = "\n".join(line.removeprefix("    ") for line in SCRIPT.splitlines())
    return subprocess.run([sys.executable, "-c", script, *map(str, paths)], capture_output=True, text=True)


@needs_sizes
def test_a_column_whose_sizes_contradict_the_schema_is_damage(table):
    content = table.read_bytes()
    nullable, required = b"\x25\x02\x18\x01n", b"\x25\x00\x18\x01n"  # the column n, in Thrift's compact protocol
    assert content.count(nullable) == 1
    table.write_bytes(content.replace(nullable, required))
    with pytest.raises(ChunkReadError, match=r"is damaged, or no Parquet file \(.*histogram size mismatch"):
        ParquetReader().find_parts(str(table), chunk_bytes=100)
    with pytest.raises(DatasetError, match=r"histogram size mismatch"):
        ParquetDataset(table)


@needs_sizes
def test_a_column_of_another_type_in_one_row_group_is_damage(table):
    content = table.read_bytes()
    int64, int32 = b"\x1c\x15\x04\x19", b"\x1c\x15\x02\x19"
    assert content.count(int64) == 3
    table.write_bytes(content.replace(int64, int32, 1))
    with pytest.raises(DatasetError, match=r"is damaged: 'n' is INT64, and INT32 in a row group\. Fetch it again"):
        ParquetDataset(table)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000 if ALL else 200, 200))
def test_no_damaged_footer_ends_the_process(tmp_path, table, first):
    content = table.read_bytes()
    footer_bytes = int.from_bytes(content[-8:-4], "little")
    paths = []
    for seed in range(first, first + 200):
        draw, damaged = random.Random(seed), bytearray(content)
        for _ in range(draw.choice([1, 1, 1, 2, 4])):
            damaged[len(content) - 8 - 1 - draw.randrange(footer_bytes)] = draw.randrange(256)
        paths.append(tmp_path / f"{seed}.parquet")
        paths[-1].write_bytes(damaged)
    out = run_over(paths)
    assert not out.returncode, out.stderr[-2000:]
