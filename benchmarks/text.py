"""Text: what does the pipeline cost beyond parsing, encoding and collating the same lines in one thread?

python benchmarks/text.py [--lines 200000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from making import make_lines, place

from pyloader import Columns, DataCollator, DataLoader, Dataset, JsonlReader

BATCH_SIZE = 256
LENGTH = 64


class Words(Dataset):
    """Numbers for words, in plain Python."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def batch_encode(self, columns: Columns) -> Columns:
        numbers = self.numbers
        return {
            "ids": [
                [numbers.setdefault(word, len(numbers)) for word in text.split()][:LENGTH] for text in columns["text"]
            ]
        }


class Pad(DataCollator):
    """An array of LENGTH numbers a row."""

    def collate_batch(self, columns: Columns) -> dict[str, np.ndarray]:
        ids = np.zeros((len(columns["ids"]), LENGTH), np.int32)
        for row, values in zip(ids, columns["ids"], strict=True):
            row[: len(values)] = values
        return {"ids": ids}


def in_one_thread(root: Path, read: Callable[[str], Columns]) -> int:
    """Parse, encode and collate, with nothing around it."""
    words, pad, total = Words(), Pad(), 0
    for path in sorted((root / "chunks").iterdir()):
        columns = read(str(path))
        for start in range(0, len(columns["text"]), BATCH_SIZE):
            batch = {name: values[start : start + BATCH_SIZE] for name, values in columns.items()}
            total += len(pad.collate_batch(words.batch_encode(batch))["ids"])
    return total


def with_json(path: str) -> Columns:
    with open(path) as file:
        rows = [json.loads(line) for line in file]
    return {"id": [row["id"] for row in rows], "text": [row["text"] for row in rows]}


def with_the_loader(root: Path, *, encode: bool = True, **options: int) -> int:
    total = 0
    parts = (Words(), Pad()) if encode else (None, None)
    with DataLoader(
        JsonlReader(), *parts, data_dir=root / "chunks", batch_size=BATCH_SIZE, shuffle=True, **options
    ) as batches:
        for batch in batches:
            total += len(batch["ids" if encode else "text"])
    return total


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    root = make_lines(place() / f"lines-{arguments.lines}", num_lines=arguments.lines)
    reader = JsonlReader()
    cases: dict[str, Callable[[], int]] = {
        "parse, encode, collate, one thread": lambda: in_one_thread(root, lambda path: reader.read_file(path)[0]),
        "the same with json.loads": lambda: in_one_thread(root, with_json),
        "pyloader, inline": lambda: with_the_loader(root, num_workers=0),
        "pyloader, 1 worker": lambda: with_the_loader(root, num_workers=1),
        "pyloader, strings to the loop": lambda: with_the_loader(root, encode=False),
    }
    seconds: dict[str, list[float]] = {}
    for _ in range(arguments.repeat):
        for name, run in cases.items():
            begun = time.perf_counter()
            assert run() == arguments.lines
            seconds.setdefault(name, []).append(time.perf_counter() - begun)
    bare = statistics.median(seconds["parse, encode, collate, one thread"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(
            f"{name:36} {arguments.lines / median:10,.0f} lines/s   takes {median / bare:4.2f} of the bare loop's time"
        )


if __name__ == "__main__":
    main()
