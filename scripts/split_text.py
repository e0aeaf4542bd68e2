#!/usr/bin/env python3
"""Split text into chunks of windows: pieces of at most so many characters, cut at line ends.

    python scripts/split_text.py book.txt chunks/ --characters 1000

Copy this, and write your own `windows`.  To have one sample per line, use `pyloader split book.txt chunks/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from pyloader import open_chunk
from pyloader.write import ChunkWriter


def windows(lines: Iterable[str], characters: int) -> Iterator[str]:
    """Yield the text in pieces of at most `characters`, unless one line is longer."""
    held, length = [], 0
    for line in lines:
        if held and length + len(line) > characters:
            yield "".join(held)
            held, length = [], 0
        held.append(line)
        length += len(line)
    if held:
        yield "".join(held)


def main() -> None:
    parser = argparse.ArgumentParser(description="Split text into chunks of windows, cut at line ends.")
    parser.add_argument("inputs", nargs="+", help="text files, plain or packed")
    parser.add_argument("output_dir")
    parser.add_argument("--characters", type=int, default=1000, help="of a window, at most (1000)")
    parser.add_argument("--chunk-samples", type=int, default=1000, help="windows of a chunk (1000)")
    parser.add_argument("--overwrite", action="store_true", help="remove the chunks that are there first")
    args = parser.parse_args()
    with ChunkWriter(args.output_dir, chunk_samples=args.chunk_samples, overwrite=args.overwrite) as writer:
        for path in args.inputs:
            with open_chunk(path) as lines:
                for text in windows(lines, args.characters):
                    writer.write({"text": text})
    print(f"{args.output_dir}   {writer.num_samples:,} samples")


if __name__ == "__main__":
    main()
