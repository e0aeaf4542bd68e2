"""Memory: does a dataset stream under a hard limit, and does the peak stay where it is when the dataset doubles?

    python benchmarks/memory.py [--gigabytes 4] [--form columns|jsonl] [--limit-mb 1000]

Makes chunks of 64 MB, then streams them in a process whose private memory is limited (RLIMIT_DATA) to what the
interpreter had before the loader was made, plus the limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from making import place

CHUNK_BYTES = 64_000_000


def make(root: Path, form: str, num_chunks: int) -> Path:
    """Make `num_chunks` chunks; those that are there already are kept."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = CHUNK_BYTES // 3136
    line = json.dumps({"text": "x" * 430}) + "\n"
    for index in range(num_chunks):
        chunk = root / f"chunk-{index:05d}.{form}"
        if chunk.exists():
            continue
        if form == "columns":
            chunk.mkdir()
            np.save(chunk / "image.npy", rng.random((rows, 784), np.float32))
        else:
            chunk.write_text("".join(line.replace("xxxxxxxx", f"{n:08d}", 1) for n in range(CHUNK_BYTES // len(line))))
    return root


def private_mb() -> dict[str, float]:
    """Return this process's private memory and its peak, in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(status[name].split()[0]) / 1000 for name in ("RssAnon", "VmHWM", "VmData")}


def stream(root: Path, limit_mb: int, num_chunks: int) -> None:
    """Stream the chunks under the limit, and print what it took."""
    from pyloader import DataLoader

    chunks = sorted(root.iterdir())[:num_chunks]
    before = private_mb()
    limit = round((before["VmData"] + limit_mb) * 1000) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    begun, most, samples = time.perf_counter(), 0.0, 0
    with DataLoader(data_dir=chunks, batch_size=256, shuffle=True, max_queue_size=5) as loader:
        for step, batch in enumerate(loader):
            samples += len(next(iter(batch.values())))
            if step % 20 == 0:
                most = max(most, private_mb()["RssAnon"])
        stats = loader.stats()
    seconds = time.perf_counter() - begun
    print(
        f"{num_chunks} chunks of 64 MB: {samples:,} samples in {seconds:.1f} s; "
        f"at most {most - before['RssAnon']:,.0f} MB above the interpreter's {before['RssAnon']:,.0f}; "
        f"{stats.resident_peak:.1f} of 5 chunks resident"
    )


def main() -> None:
    """Make the data, and stream half of it and all of it, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--form", choices=["columns", "jsonl"], default="columns")
    parser.add_argument("--limit-mb", type=int, default=1000)
    parser.add_argument("--stream", type=int, metavar="CHUNKS", help=argparse.SUPPRESS)
    parser.add_argument("--remove", action="store_true", help="remove the chunks afterwards")
    arguments = parser.parse_args()
    root = place() / f"memory-{arguments.form}"
    if arguments.stream:
        stream(root, arguments.limit_mb, arguments.stream)
        return
    num_chunks = round(arguments.gigabytes * 1e9 / CHUNK_BYTES)
    make(root, arguments.form, num_chunks)
    for count in (num_chunks // 2, num_chunks):
        subprocess.run([sys.executable, *sys.argv, "--stream", str(count)], check=True)
    if arguments.remove:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
