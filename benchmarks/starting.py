"""Starting: how long do the import and the first batch take, and what does a parked loader cost?

python benchmarks/starting.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from making import DENSE, make_arrays, place

from pyloader import DataLoader, NumpyReader


def import_seconds(code: str) -> float:
    """Return how much longer an interpreter takes that runs `code` than one that does nothing: a median of 9."""

    def run(text: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True)
        return time.perf_counter() - begun

    return statistics.median(run(code) for _ in range(9)) - statistics.median(run("pass") for _ in range(9))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=DENSE["num_samples"], help="fewer samples, to try it out")
    case = {**DENSE, "num_samples": parser.parse_args().samples}
    for code in ("import pyloader", "import numpy", "from pyloader import DataLoader"):
        print(f"{code:34} {import_seconds(code) * 1000:6.0f} ms")
    chunks = make_arrays(place() / f"dense-{case['num_samples']}", **case) / "chunks"  # type: ignore[arg-type]
    paths, reader = sorted(chunks.iterdir()), NumpyReader()
    for window in (1, 4, 8):
        begun = time.perf_counter()
        columns = [reader.read_file(str(path)) for path in paths[:window]]
        reading = time.perf_counter() - begun
        with DataLoader(NumpyReader(), data_dir=chunks, batch_size=256, shuffle=True, shuffle_window=window) as loader:
            begun = time.perf_counter()
            next(loader)
            first = time.perf_counter() - begun
            time.sleep(0.5)  # reading ahead comes to its end
            busy = time.process_time()
            time.sleep(1)
            parked = time.process_time() - busy
        print(
            f"window {window}: reading {len(columns)} chunks {reading * 1000:.0f} ms, "
            f"first batch {first * 1000:.0f} ms; parked, it uses {parked * 1000:.1f} ms of processor time a second"
        )


if __name__ == "__main__":
    main()
