"""Splitting a dump: how long does it take beside zstd alone, and beside what else makes files for training of it?

    python benchmarks/splitting.py [--megabytes 600] [--workers 2] [--repeat 3] [--numbers] [--only NAME ...]

Makes JSON lines of about 0.6 kB: a text, or with --numbers 32 numbers, which go to arrays in .columns too.  Every
contender runs in a process of its own, in turn with all others, page cache warm; shown are medians of seconds, of the
processor seconds of all processes that it waits for (Ray's are more), and of bytes written.  Contenders that are not
installed are left out.  Each writes what it writes by default: the files of the last four are not compressed, or less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from making import place


def make_dump(path: Path, num_bytes: int) -> Path:
    """Make the lines: words of made-up letters, since what repeats is compressed faster than text."""
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8)
    share = np.array([1] * 26 + [5]) / 31
    with open(path.with_suffix(".making"), "w") as file:
        number = 0
        while file.tell() < num_bytes:
            text = rng.choice(letters, 600_000, p=share).tobytes().decode()
            ends = np.cumsum(rng.integers(300, 840, 1000))
            for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                file.write(json.dumps({"id": number, "text": text[start:stop], "label": number % 10}) + "\n")
                number += 1
    path.with_suffix(".making").rename(path)
    return path


def make_numbers(path: Path, num_bytes: int) -> Path:
    """Make the lines: 32 fractions each."""
    if path.exists():
        return path
    rng, number = np.random.default_rng(0), 0
    with open(path.with_suffix(".making"), "w") as file:
        while file.tell() < num_bytes:
            for row in rng.random((1000, 32)).tolist():
                file.write(json.dumps({"id": number, "x": row, "label": number % 10}) + "\n")
                number += 1
    path.with_suffix(".making").rename(path)
    return path


def pyarrow_parquet(dump: Path, output: Path, workers: int) -> None:
    import pyarrow.json
    import pyarrow.parquet

    pyarrow.set_cpu_count(workers)
    options = pyarrow.json.ReadOptions(block_size=2**24)
    pyarrow.parquet.write_table(pyarrow.json.read_json(dump, options), output / "dump.parquet", compression="zstd")


def huggingface(dump: Path, output: Path, workers: int) -> None:
    import datasets

    datasets.disable_progress_bars()
    cache = str(output / "cache")
    found = datasets.load_dataset("json", data_files=str(dump), split="train", cache_dir=cache, num_proc=workers)
    found.save_to_disk(output / "saved", num_proc=workers)


def ray_data(dump: Path, output: Path, workers: int) -> None:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.read_json(str(dump)).write_parquet(str(output / "parquet"))
    ray.shutdown()


def litdata(dump: Path, output: Path, workers: int) -> None:
    import litdata as library

    step = 2**24
    spans = [(str(dump), start, start + step) for start in range(0, dump.stat().st_size, step)]
    library.optimize(
        fn=rows_of_span, inputs=spans, output_dir=str(output), num_workers=workers, chunk_bytes="64MB", verbose=False
    )


def rows_of_span(span: tuple[str, int, int]) -> Iterator[dict[str, Any]]:
    """Yield the rows whose lines begin in a span of a file."""
    path, start, stop = span
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while file.tell() < stop and (line := file.readline()):
            yield json.loads(line)


def mosaic(dump: Path, output: Path, workers: int) -> None:
    import contextlib

    import torch

    # streaming imports torchvision, for its vision datasets alone; a build of that for CUDA misses these operators.
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
    import streaming

    columns = {"id": "int", "text": "str", "label": "int"}
    with (
        streaming.MDSWriter(out=str(output), columns=columns, size_limit=2**26) as writer,
        open(dump, "rb") as lines,
    ):
        for line in lines:
            writer.write(json.loads(line))


_SPLIT = [sys.executable, "-m", "pyloader", "split", "{dump}", "{output}", "-q", "--workers", "{workers}"]
COMMANDS = {
    "zstd -3": ["zstd", "-q", "-3", "-T{workers}", "-k", "{dump}", "-o", "{output}/dump.zst"],
    "pyloader, jsonl.zst": _SPLIT,
    "pyloader, jsonl.zst, shuffled": [*_SPLIT, "--shuffle"],
    "pyloader, Parquet": [*_SPLIT, "--to", "parquet"],
    "pyloader, columns": [*_SPLIT, "--to", "columns"],
}
# Name -> the module that it needs, and what is called, in a script of its own.
LIBRARIES: dict[str, tuple[str, Callable[[Path, Path, int], None]]] = {
    "pyarrow, read_json, write_table": ("pyarrow", pyarrow_parquet),
    "Hugging Face, load_dataset, save_to_disk": ("datasets", huggingface),
    "Ray Data, read_json, write_parquet": ("ray", ray_data),
    "litdata, optimize": ("litdata", litdata),
    "MosaicML, MDSWriter, 1 process": ("streaming", mosaic),
}
NAMES = [*COMMANDS, *LIBRARIES]


def timed(name: str, dump: Path, output: Path, workers: int) -> dict[str, float]:
    """Run a contender in a process of its own."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    os.sync()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    this = [
        sys.executable,
        __file__,
        "--run",
        name,
        "--dump",
        "{dump}",
        "--output",
        "{output}",
        "--workers",
        "{workers}",
    ]
    words = COMMANDS.get(name, this)
    command = [word.format(dump=dump, output=output, workers=workers) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = [path for path in output.rglob("*") if path.is_file() and "cache" not in path.parts]
    found = {"seconds": seconds, "cpu": cpu, "bytes": float(sum(path.stat().st_size for path in written))}
    shutil.rmtree(output)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=NAMES, metavar="NAME", choices=NAMES)
    parser.add_argument("--numbers", action="store_true", help="lines of numbers")
    parser.add_argument("--dump", type=Path, help="JSON lines with these keys, instead of making them")
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        LIBRARIES[arguments.run][1](arguments.dump, arguments.output, arguments.workers)
        return
    kind, make = ("numbers", make_numbers) if arguments.numbers else ("dump", make_dump)
    dump = arguments.dump or make(place() / f"{kind}-{arguments.megabytes:g}.jsonl", int(arguments.megabytes * 1e6))
    names = [name for name in arguments.only if name in COMMANDS or importlib.util.find_spec(LIBRARIES[name][0])]
    names = [name for name in names if arguments.numbers or name != "pyloader, columns"]  # which holds no text
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(arguments.repeat):
        for name in names if number % 2 == 0 else names[::-1]:
            runs[name].append(timed(name, dump, place() / "splitting", arguments.workers))
    medians = {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()}
    first = medians[names[0]]
    print(f"{dump.stat().st_size / 1e6:,.0f} MB of JSON lines, {arguments.workers} workers")
    for name, found in medians.items():
        ratios = found["seconds"] / first["seconds"], found["cpu"] / first["cpu"]
        print(
            f"{name:42} {found['seconds']:7.2f} s ({ratios[0]:5.2f})   {found['cpu']:7.2f} s of processors "
            f"({ratios[1]:5.2f})   {found['bytes'] / 1e6:7,.0f} MB"
        )


if __name__ == "__main__":
    main()
