"""Bytes: where one chunk is far larger than the others, does max_bytes hold what max_queue_size alone does not?

    python benchmarks/bytes.py [--megabytes 20] [--max-bytes 300MB]

Makes 20 chunks, one of them ten times larger than the others, and streams them without and with the bound, each
in a process of its own: arrays, JSON lines (lists of str), and arrays of bytes that `batch_encode` turns into floats.
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
from typing import Any

import numpy as np
from making import place
from memory import private_mb

from pyloader import DataLoader, Dataset
from pyloader.options import format_bytes, parse_bytes

CASES = ("arrays", "lines", "images")
NUM_CHUNKS = 20


class Images(Dataset):
    """Makes floats of bytes: four times as much."""

    def batch_encode(self, columns: dict[str, Any]) -> dict[str, Any]:
        return {"image": columns["image"].astype(np.float32) / 255}


def make(root: Path, case: str, megabytes: int) -> Path:
    """Make the chunks of a case; those that are there already are kept."""
    directory = root / f"bytes-{case}-{megabytes}"
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(NUM_CHUNKS):
        num_bytes = megabytes * 10**6 * (10 if index == 7 else 1)
        chunk = directory / f"chunk-{index:05d}.{'jsonl' if case == 'lines' else 'columns'}"
        if chunk.exists():
            continue
        if case == "lines":
            line = json.dumps({"text": "x" * 430}) + "\n"
            chunk.write_text("".join(line.replace("xxxxxxxx", f"{n:08d}", 1) for n in range(num_bytes // len(line))))
        else:
            chunk.mkdir()
            dtype = np.uint8 if case == "images" else np.float32
            rows = num_bytes // (784 * np.dtype(dtype).itemsize)
            np.save(chunk / "image.npy", rng.integers(0, 255, (rows, 784), np.uint8).astype(dtype))
    return directory


def stream(directory: Path, case: str, max_bytes: str, limit_mb: int) -> None:
    """Stream the chunks, and print what it took."""
    before = private_mb()
    if limit_mb:
        limit = round((before["VmData"] + limit_mb) * 1000) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    dataset = Images() if case == "images" else None
    begun, most, samples = time.perf_counter(), 0.0, 0
    bound = max_bytes or None
    with DataLoader(
        dataset=dataset, data_dir=directory, batch_size=256, shuffle=True, max_bytes=bound, num_epochs=2
    ) as loader:
        for step, batch in enumerate(loader):
            samples += len(next(iter(batch.values())))
            if step % 20 == 0:
                most = max(most, private_mb()["RssAnon"])
        stats = loader.stats()
    seconds = time.perf_counter() - begun
    ledger = "" if stats.resident_bytes_peak is None else f"{format_bytes(stats.resident_bytes_peak)} in the ledger, "
    print(
        f"{case:8} max_bytes={max_bytes or 'None':6} {samples:,} samples in {seconds:.1f} s; {ledger}"
        f"at most {most - before['RssAnon']:,.0f} MB above the interpreter's {before['RssAnon']:,.0f}; "
        f"{stats.resident_peak:.1f} of 10 chunks resident"
    )


def main() -> None:
    """Make the data, and stream them without and with the bound, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=20, help="the size of a small chunk on disk")
    parser.add_argument("--max-bytes", default="300MB")
    parser.add_argument("--slack-mb", type=int, default=150, help="what RLIMIT_DATA allows beside max_bytes")
    parser.add_argument("--stream", nargs=3, metavar=("CASE", "BOUND", "LIMIT"), help=argparse.SUPPRESS)
    parser.add_argument("--remove", action="store_true", help="remove the chunks afterwards")
    arguments = parser.parse_args()
    if arguments.stream:
        case, bound, limit = arguments.stream
        stream(make(place(), case, arguments.megabytes), case, bound, int(limit))
        return
    limit = round(parse_bytes(arguments.max_bytes) / 10**6) + arguments.slack_mb
    for case in CASES:
        directory = make(place(), case, arguments.megabytes)
        for bound, limit_mb in (("", 0), (arguments.max_bytes, limit)):
            command = [sys.executable, *sys.argv, "--stream", case, bound, str(limit_mb)]
            subprocess.run(command, check=True)
        if arguments.remove:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
