"""What it takes to write a chunk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# A row, and how much memory 12 MB of such rows may take, in MB: all that Python makes of lists would take 220.
ROWS: dict[str, tuple[dict[str, Any], int]] = {
    "text": ({"text": "abcdefgh" * 75}, 100),
    "lists": ({"list": list(range(1000, 1050)), "object": {"name": "x", "number": 5}}, 120),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROWS)
def test_a_chunk_of_parquet_takes_no_memory_for_all_that_python_makes_of_its_rows(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    row, max_megabytes = ROWS[kind]
    line = json.dumps(row)[:-1]
    with open(tmp_path / "dump.jsonl", "w") as file:
        file.writelines(f'{line}, "id": {number}}}\n' for number in range(12 * 10**6 // len(line)))
    assert megabytes_of_a_split(tmp_path, "dump.jsonl", 'output_format="parquet", num_chunks=1') < max_megabytes


@pytest.mark.slow
def test_a_row_group_of_any_size_is_read_some_megabytes_at_a_time(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    words = [np.random.default_rng(number).bytes(500).hex() for number in range(1000)]
    table = pyarrow.table({"text": [words[number % 1000] + str(number) for number in range(120_000)]})
    parquet.write_table(table, tmp_path / "dump.parquet", compression="none", use_dictionary=False)
    assert (tmp_path / "dump.parquet").stat().st_size > 120 * 10**6
    options = "overwrite=True, where=lambda row: row['text'][-3:] == '777'"
    # 172, when it is read ahead; on a busy machine Arrow's own threads may be ahead now and then.
    assert any(megabytes_of_a_split(tmp_path, "dump.parquet", options) < 145 for _ in range(3))


@pytest.mark.slow
def test_arrays_become_json_a_few_rows_at_a_time(tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", np.random.default_rng(0).random((2**18, 4), np.float32))
    assert (
        megabytes_of_a_split(tmp_path, "dump.npy", 'output_format="jsonl", chunk_bytes=2**21') < 47
    )  # 62, all at once


def megabytes_of_a_split(directory: Path, dump: str, options: str) -> float:
    """Split in a process of its own; return by how much its memory grew at most."""
    script = f"""
        from pyloader.errors import import_optional
        from pyloader.inspecting.measuring import peak_bytes
        from pyloader.write import split
        import_optional("pyarrow.parquet", wanted_by="a test")
        before = peak_bytes()
        split({str(directory / dump)!r}, {str(directory / "chunks")!r}, engine="inline", {options})
        print(peak_bytes() - before)
    """
    # As the command has it: Arrow's own allocators keep what is freed, some more and some less.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(out.stdout) / 1e6
