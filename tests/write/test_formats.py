"""What it takes to write a chunk."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

# A row, and how much memory 12 MB of such rows may take, in MB: all that Python makes of lists would take 220.
ROWS: dict[str, tuple[dict[str, Any], int]] = {
    "text": ({"text": "abcdefgh" * 75}, 48),
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
    script = f"""
        import resource
        import pyarrow.parquet
        from pyloader.write import split
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        split({str(tmp_path / "dump.jsonl")!r}, {str(tmp_path / "chunks")!r}, output_format="parquet", num_chunks=1,
              engine="inline")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(out.stdout) / 1000 < max_megabytes
