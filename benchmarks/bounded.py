"""Memory: is one large file of each form indexed, and read shuffled, within a quarter of its size?

    python benchmarks/bounded.py [--megabytes 4000] [--limit-mb 1000] [--chunk-bytes 64MiB] [--only NAME]...

Writes one file of a form after another, and removes it again.  In a process of its own it is indexed and read for one
epoch, shuffled, with one thread that reads and one that makes batches.  What that process may take beside what it
holds after the same with a small file is limited (RLIMIT_DATA, which counts all but what is mapped from files), and
so is its resident memory.  A package that is not installed is named and its form left out.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from huge_files import FORMS
from making import place

from pyloader import DataLoader, PaddingDataCollator
from pyloader.cli.main import main as pyloader
from pyloader.inspecting.measuring import forget_peak, peak_bytes

SMALL_BYTES = 10**7


def settled_bytes(name: str) -> int:
    """Return a line of /proc/self/status, in bytes, when what is not used any more was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def step(work: Any, *arguments: Any) -> tuple[Any, int, float]:
    """Return what a step returns, the memory of its peak above that of its start, and its CPU seconds."""
    before, begun = settled_bytes("VmRSS"), time.process_time()
    forget_peak()
    found = work(*arguments)
    return found, peak_bytes() - before, time.process_time() - begun


def index(path: str, name: str, *options: str) -> None:
    """Index a file of some form."""
    tokens = ["--reader", "tokens", "--option", "window=1000", "--option", "dtype=uint16"]
    if pyloader(["index", path, "-q", *options, *(tokens if name == "tokens" else [])]):
        sys.exit(f"{path} was not indexed")


def epoch(path: str) -> int:
    """Return how many samples come in an epoch."""
    num_samples, options = 0, {"shuffle": True, "num_epochs": 1, "num_readers": 1, "num_workers": 1}
    with DataLoader(data_dir=path, batch_size=256, datacollator=PaddingDataCollator(pad_value=0), **options) as loader:
        for batch in loader:
            num_samples += len(next(iter(batch.values())))
    return num_samples


def read_within(small: str, path: str, name: str, limit_bytes: int, *options: str) -> None:
    """Index and read a small file; then set the limit, do the same with a large one, and print what it took."""
    index(small, name, "--chunk-bytes", "1MB")
    epoch(small)
    limit = settled_bytes("VmData") + limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    _, index_peak, index_seconds = step(index, path, name, *options)
    num_samples, epoch_peak, epoch_seconds = step(epoch, path)
    print(json.dumps([num_samples, index_peak, index_seconds, epoch_peak, epoch_seconds]))


def size_of(path: Path) -> int:
    """Return the size of a file, or of all that lie in a directory."""
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())


def case(root: Path, name: str, arguments: argparse.Namespace) -> bool:
    """Print a row of the table; return whether the form stayed within its limit, and gave every sample."""
    write, _ = FORMS[name]
    (root / "small").mkdir()
    small, _ = write(root / "small", SMALL_BYTES)
    path, num_written = write(root, arguments.megabytes * 10**6)
    size = f"{size_of(path) / 1e9:.2f} GB" if name != "txt.zst" else f"{arguments.megabytes / 1000:.2f} GB unpacked"
    words = ["--within", str(small), str(path), name, str(arguments.limit_mb * 10**6)]
    words += [f"--chunk-bytes={arguments.chunk_bytes}", *(["--checksums"] if arguments.checksums else [])]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        print(f"| {name} | {size} | failed |\n{done.stderr[-600:]}", flush=True)
        return False
    num_samples, index_peak, index_seconds, epoch_peak, epoch_seconds = json.loads(done.stdout)
    print(
        f"| {name} | {size} | {index_peak / 1e6:,.0f} MB, {index_seconds:,.1f} s "
        f"| {epoch_peak / 1e6:,.0f} MB, {epoch_seconds:,.1f} s |",
        flush=True,
    )
    is_within = max(index_peak, epoch_peak) <= arguments.limit_mb * 10**6
    if num_samples != num_written or not is_within:
        print(f"{name}: more memory than the limit, or {num_samples:,} of {num_written:,} samples", flush=True)
    return bool(num_samples == num_written and is_within)


def main() -> None:
    """Measure one form after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=4000, help="of each file")
    parser.add_argument("--limit-mb", type=int, default=1000, help="what the process may take above its own")
    parser.add_argument("--chunk-bytes", default="64MiB", help="of a part, as pyloader index has it")
    parser.add_argument("--only", action="append", choices=FORMS, metavar="NAME", help=", ".join(FORMS))
    parser.add_argument("--checksums", action="store_true", help="of the parts, as pyloader index has it")
    if sys.argv[1:2] == ["--within"]:
        small, path, name, limit_bytes, *options = sys.argv[2:]
        read_within(small, path, name, int(limit_bytes), *options)
        return
    arguments = parser.parse_args()
    print("| form | file | index: peak memory, CPU | an epoch: peak memory, CPU |\n|---|---|---|---|", flush=True)
    is_well = True
    place().mkdir(parents=True, exist_ok=True)
    for name in arguments.only or FORMS:
        needs = FORMS[name][1]
        if needs and importlib.util.find_spec(needs) is None:
            print(f"| {name} | {needs} is not installed |", flush=True)
            continue
        with tempfile.TemporaryDirectory(dir=place()) as made:
            is_well &= case(Path(made), name, arguments)
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
