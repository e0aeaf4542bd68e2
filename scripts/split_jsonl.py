#!/usr/bin/env python3
"""Split JSON lines into chunks, changing each sample on the way.

    python scripts/split_jsonl.py dump.jsonl.gz chunks/

Copy this, and write your own `changed`.  To split a dump as it is, `pyloader split` is faster, and can be stopped and
gone on with.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from tqdm import tqdm

from pyloader import open_chunk
from pyloader.write import ChunkWriter


def changed(sample: dict[str, Any]) -> dict[str, Any] | None:
    """Return what to keep of a sample; None leaves it out."""
    return sample


def main() -> None:
    parser = argparse.ArgumentParser(description="Split JSON lines into chunks, changing each sample on the way.")
    parser.add_argument("inputs", nargs="+", help="files of JSON lines, plain or packed")
    parser.add_argument("output_dir")
    parser.add_argument("--chunk-bytes", default="64MiB", help="bytes of a chunk before compression (64MiB)")
    parser.add_argument("--overwrite", action="store_true", help="remove the chunks that are there first")
    args = parser.parse_args()
    with ChunkWriter(args.output_dir, chunk_bytes=args.chunk_bytes, overwrite=args.overwrite) as writer:
        for path in args.inputs:
            with open_chunk(path) as lines:
                for line in tqdm(lines, desc=path, unit=" samples", disable=None):
                    sample = changed(json.loads(line))
                    if sample is not None:
                        writer.write(sample)
    print(f"{args.output_dir}   {writer.num_samples:,} samples")


if __name__ == "__main__":
    main()
