"""Instructions per batch, counted by Valgrind: a figure that does not depend on what else the machine does.

    python benchmarks/instructions.py            compare with instructions.json; exit status 1 where a count has grown
    python benchmarks/instructions.py --write    write instructions.json, and say why in the CHANGELOG

Everything runs inline, in one thread.  Counts are comparable only with the same Python, NumPy, msgspec and processor
features as Valgrind shows them: elsewhere nothing is compared, in one line.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from making import make_arrays, make_lines, make_tokens

from pyloader import DataLoader, Dataset, TokenReader, indexed

TABLE = Path(__file__).with_name("instructions.json")
GROWTH = 1.05  # a count that is this many times the table's is a failure
ARRAYS: dict[str, Any] = {"num_samples": 16_384, "shape": (28, 28), "chunk_samples": 1024}
WARM, COUNTED = 40, 40  # batches before counting, of several chunks, and batches counted


class Codes(Dataset):
    """Texts as their first 64 bytes: user code."""

    def batch_encode(self, columns: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"codes": [list(text[:64].encode()) for text in columns["text"]]}


def _chunks_of_arrays(root: Path) -> DataLoader:
    chunks = make_arrays(root / "arrays", **ARRAYS) / "chunks"
    return DataLoader(data_dir=chunks, batch_size=128, shuffle=True, num_workers=0)


def _chunks_of_text(root: Path, dataset: Dataset | None = None) -> DataLoader:
    chunks = make_lines(root / "text", num_lines=8192, chunk_lines=512) / "chunks"
    return DataLoader(None, dataset, data_dir=chunks, batch_size=64, shuffle=True, num_workers=0)


def _chunks_of_tokens(root: Path) -> DataLoader:
    chunks = make_tokens(root / "tokens", num_windows=4096, window=257, chunk_windows=256) / "chunks"
    reader = TokenReader(window=257, dtype="uint16")
    return DataLoader(reader, data_dir=chunks, batch_size=32, shuffle=True, num_workers=0)


def _items(root: Path) -> indexed.DataLoader:
    make_arrays(root / "arrays", **ARRAYS)
    array = root / "arrays" / "image.npy"
    data = {"image": indexed.NPDataset(array), "number": indexed.RangeDataset(0, 16_384)}
    return indexed.DataLoader(data, batch_size=128, num_workers=0)


# Workload -> its loader.
WORKLOADS: dict[str, Callable[[Path], DataLoader | indexed.DataLoader]] = {
    "arrays": _chunks_of_arrays,
    "text": _chunks_of_text,
    "text encoded": lambda root: _chunks_of_text(root, Codes()),
    "tokens": _chunks_of_tokens,
    "indexed": _items,
}


def run(workload: str, root: Path) -> None:
    """Receive the batches, with counting on for the last ones: inside Valgrind."""
    with WORKLOADS[workload](root) as loader:
        batches = iter(loader)
        if len(list(islice(batches, WARM))) != WARM:
            raise RuntimeError(f"{workload} has too few batches")
        gc.collect()
        gc.disable()  # a collection that falls among the batches counted, or not, is none of theirs
        _counting("on")
        for _ in range(COUNTED):
            next(batches)
        _counting("off")


def _counting(state: str) -> None:
    subprocess.run(["callgrind_control", f"--instr={state}", str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def count(workload: str, root: Path) -> int:
    """Return how many instructions a batch takes."""
    WORKLOADS[workload](root).close()  # makes its data, which takes long inside Valgrind
    out = root / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    # The same addresses and hashes each time: where a dict collides, and what is sorted by address, stays the same.
    command = ["setarch", "-R", *command, sys.executable, __file__, "--run", workload, "--root", str(root)]
    done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{workload}: {done.stderr[-2000:]}")
    found = re.findall(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE)
    return int(found[-1]) // COUNTED


def environment() -> dict[str, str]:
    """Return what the counts depend on beside the code."""
    features = subprocess.run(
        ["valgrind", "--quiet", "--tool=none", sys.executable, "-c", _PRINT_FEATURES], capture_output=True, text=True
    )
    packages = {name: version(name) for name in ("numpy", "msgspec")}
    return {"python": platform.python_version(), **packages, "processor": features.stdout.strip()}


# NumPy chooses its loops by what the processor says, and Valgrind answers for the processor.
_PRINT_FEATURES = """
import numpy as np
features = getattr(np, "_core", np.core if not hasattr(np, "_core") else None)._multiarray_umath.__cpu_features__
print(" ".join(sorted(name for name, there in features.items() if there)))
"""


def main() -> int:
    """Count, and compare or write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--only", choices=WORKLOADS, nargs="+", default=list(WORKLOADS), help="which to count")
    parser.add_argument("--run", choices=WORKLOADS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run is not None:
        run(given.run, given.root)
        return 0
    if missing := [tool for tool in ("valgrind", "callgrind_control", "setarch") if shutil.which(tool) is None]:
        print(f"instructions: not counted, {', '.join(missing)} not found")
        return 0
    here = environment()
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"environment": here, "instructions": {}}
    if not given.write and table["environment"] != here:
        different = [name for name, value in here.items() if table["environment"].get(name) != value]
        print(f"instructions: not compared, the table is of another {', '.join(different)}")
        return 0
    with tempfile.TemporaryDirectory() as root:
        counts = {workload: count(workload, Path(root)) for workload in given.only}
    grown = []
    for workload, now in counts.items():
        before = table["instructions"].get(workload, now)
        print(f"instructions: {workload:<14} {now:>12,} a batch, {now / before:6.3f} of the table")
        if now > GROWTH * before:
            grown.append(workload)
    if given.write:
        TABLE.write_text(
            json.dumps({"environment": here, "instructions": table["instructions"] | counts}, indent=2) + "\n"
        )
        return 0
    if grown:
        print(
            f"instructions: {', '.join(grown)} take more than before.  Where that is meant, say so in the CHANGELOG and"
        )
        print("write the table: python benchmarks/instructions.py --write")
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
