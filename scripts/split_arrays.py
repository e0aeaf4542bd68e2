#!/usr/bin/env python3
"""Split arrays into chunks, changing them block by block on the way.

    python scripts/split_arrays.py chunks/ image=x.npy label=y.npy

Copy this, and write your own `changed`.  To split arrays as they are: `pyloader split image=x.npy label=y.npy chunks/`.
"""

from __future__ import annotations

import argparse

import numpy as np

from pyloader.write import ChunkWriter

_BLOCK_ROWS = 4096  # changed and written together; all that is in memory besides one chunk


def changed(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what to keep of some rows, all columns of the same length."""
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description="Split arrays into chunks, changing them block by block on the way.")
    parser.add_argument("output_dir")
    parser.add_argument("columns", nargs="+", metavar="NAME=FILE.npy", help="arrays with as many rows each")
    parser.add_argument("--chunk-samples", type=int, default=4096, help="rows of a chunk (4096)")
    parser.add_argument("--overwrite", action="store_true", help="remove the chunks that are there first")
    args = parser.parse_args()
    files = dict(column.split("=", 1) for column in args.columns)
    arrays = {name: np.load(path, mmap_mode="r") for name, path in files.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        parser.error(f"the arrays have different numbers of rows: {lengths}")
    with ChunkWriter(args.output_dir, chunk_samples=args.chunk_samples, overwrite=args.overwrite) as writer:
        for start in range(0, min(lengths.values()), _BLOCK_ROWS):
            block = {name: np.array(array[start : start + _BLOCK_ROWS]) for name, array in arrays.items()}
            writer.write_columns(changed(block))
    print(f"{args.output_dir}   {writer.num_samples:,} samples")


if __name__ == "__main__":
    main()
