#!/usr/bin/env python3
"""Split a folder of image files into chunks: the bytes as they are, and the subfolder's name as the label.

    python scripts/split_images.py photos/ chunks/          (photos/cat/1.jpg, photos/dog/7.png, ...)

Nothing is decoded; do that in your Dataset.batch_encode.  The chunks are Parquet, which holds bytes as they are;
without pyarrow they are JSON lines, and `image` is Base64 text.  labels.json has the subfolders' names, in order of
their labels.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pyloader.write import ChunkWriter

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Split a folder of image files into chunks of bytes and labels.")
    parser.add_argument("folder", type=Path, help="with one subfolder for each label")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the files (0)")
    parser.add_argument("--overwrite", action="store_true", help="remove the chunks that are there first")
    args = parser.parse_args()
    files = sorted(path for path in args.folder.glob("*/*") if path.suffix.lower() in _SUFFIXES)
    if not files:
        parser.error(f"{args.folder} has no images in subfolders")
    labels = sorted({path.parent.name for path in files})
    np.random.default_rng(args.seed).shuffle(files)  # type: ignore[arg-type]  # else every chunk has one label
    as_bytes = importlib.util.find_spec("pyarrow") is not None
    chunks = "parquet" if as_bytes else "jsonl.zst"
    with ChunkWriter(args.output_dir, format=chunks, overwrite=args.overwrite) as writer:
        for path in tqdm(files, unit=" images", disable=None):
            data = path.read_bytes()
            image = data if as_bytes else base64.b64encode(data).decode()
            name = path.relative_to(args.folder).as_posix()
            writer.write({"image": image, "label": labels.index(path.parent.name), "name": name})
    (args.output_dir / "labels.json").write_text(json.dumps(labels))
    print(f"{args.output_dir}   {writer.num_samples:,} samples, {len(labels):,} labels, as {chunks}")


if __name__ == "__main__":
    main()
