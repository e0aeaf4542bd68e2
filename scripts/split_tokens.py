#!/usr/bin/env python3
"""Split a file of tokens into chunks of whole windows, of which none is lost where one chunk ends and the next begins.

    python scripts/split_tokens.py train.bin chunks/ --dtype uint16 --window 1025 --stride 1024

Chunks are .npy files of tokens, one after another.  Where windows overlap, a chunk begins with the tokens that the last
window before it ends with.  The manifest says how they are read: DataLoader(data_dir="chunks/", ...) is all it takes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np

from pyloader import TokenReader
from pyloader.columns import column_specs
from pyloader.files import ChunkEntry, Manifest, checksum_of, write_manifest
from pyloader.files.atomic import written_whole
from pyloader.options import parse_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description="Split a file of tokens into chunks of whole windows.")
    parser.add_argument("tokens", help="a .npy of one dimension, or a flat file of one dtype")
    parser.add_argument("output_dir")
    parser.add_argument("--dtype", help="of a flat file's tokens: uint16, uint32")
    parser.add_argument("--window", type=int, required=True, help="tokens in a sample: the context, and one more")
    parser.add_argument("--stride", type=int, help="from the beginning of a window to that of the next (the window)")
    parser.add_argument("--chunk-bytes", type=parse_bytes, default="16MiB", help="about the size of a chunk (16MiB)")
    args = parser.parse_args()
    output = Path(args.output_dir)
    if output.is_dir() and any(output.iterdir()):
        parser.error(f"{output} is not empty. Choose another directory, or remove what is in it")
    try:
        reader = TokenReader(window=args.window, stride=args.stride, dtype=args.dtype, mmap=True)
        columns, num_windows = reader.read_file(args.tokens)
    except ValueError as exc:
        parser.error(str(exc))
    if num_windows == 0:
        parser.error(f"{args.tokens} has less than one window of {args.window} tokens")
    windows = np.asarray(columns["tokens"])
    per_chunk = max(1, args.chunk_bytes // (reader.stride * windows.itemsize))
    output.mkdir(parents=True, exist_ok=True)
    entries = []
    for start in range(0, num_windows, per_chunk):
        some = windows[start : start + per_chunk]
        path = output / f"chunk-{len(entries):05d}.npy"
        with written_whole(path) as unfinished, open(unfinished, "wb") as file:
            # All that is between the first window's first token and the last window's last.
            np.save(file, np.append(some[:-1, : reader.stride].reshape(-1), some[-1]))
        size, checksum = path.stat().st_size, checksum_of(path)
        entries.append(ChunkEntry(file=path.name, num_samples=len(some), num_bytes=size, checksum=checksum))
    manifest = Manifest(
        columns=column_specs(columns),
        reader="tokens",
        reader_options={"window": reader.window, "stride": reader.stride},
        chunks=tuple(entries),
        made_by={"command": shlex.join(["python", *sys.argv])},
    )
    write_manifest(output / "manifest.json", manifest)
    leftover = reader.leftover_tokens(args.tokens)
    print(f"{output}   {num_windows:,} windows of {reader.window:,} tokens in {len(entries):,} chunks")
    if leftover:
        print(f"left out   the last {leftover:,} tokens, which make no whole window")


if __name__ == "__main__":
    main()
