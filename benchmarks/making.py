"""The data that the benchmarks read: made once, in a directory that may be kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

DENSE = {"num_samples": 300_000, "shape": (28, 28), "chunk_samples": 4096}
SMALL = {"num_samples": 5_000_000, "shape": (16,), "chunk_samples": 262_144}


def make_arrays(root: Path, *, num_samples: int, shape: tuple[int, ...], chunk_samples: int) -> Path:
    """Make a dataset twice: as one .npy for the bare loop, and as .columns chunks for the loaders."""
    if (root / "done").exists():
        return root
    (root / "chunks").mkdir(parents=True, exist_ok=True)
    image = np.lib.format.open_memmap(root / "image.npy", "w+", np.float32, (num_samples, *shape))
    label = np.arange(num_samples)
    np.save(root / "label.npy", label)
    rng = np.random.default_rng(0)
    for start in range(0, num_samples, chunk_samples):
        stop = min(num_samples, start + chunk_samples)
        image[start:stop] = rng.random((stop - start, *shape), np.float32)
        chunk = root / "chunks" / f"chunk-{start // chunk_samples:05d}.columns"
        chunk.mkdir(exist_ok=True)
        np.save(chunk / "image.npy", image[start:stop])
        np.save(chunk / "label.npy", label[start:stop])
    (root / "done").touch()
    return root


def make_lines(root: Path, *, num_lines: int, chunk_lines: int = 8192) -> Path:
    """Make JSON lines of about 400 bytes, as .jsonl chunks."""
    if (root / "done").exists():
        return root
    root.joinpath("chunks").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    words = np.array(["data", "loader", "chunk", "the", "a", "shuffle", "of", "training", "sample", "window", "queue"])
    for start in range(0, num_lines, chunk_lines):
        with open(root / "chunks" / f"chunk-{start // chunk_lines:05d}.jsonl", "w") as file:
            numbers = range(start, min(num_lines, start + chunk_lines))
            for number, text in zip(numbers, rng.choice(words, (len(numbers), 64)).tolist(), strict=True):
                file.write(json.dumps({"id": number, "text": " ".join(text)}) + "\n")
    (root / "done").touch()
    return root


def make_tokens(root: Path, *, num_windows: int, window: int, chunk_windows: int) -> Path:
    """Make uint16 tokens, as one tokens.bin and as .bin chunks; each window begins with its number, in two tokens."""
    if (root / "done").exists():
        return root
    root.joinpath("chunks").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with open(root / "tokens.bin", "wb") as whole:
        for start in range(0, num_windows, chunk_windows):
            numbers = np.arange(start, min(num_windows, start + chunk_windows))
            tokens = rng.integers(0, 50_000, (len(numbers), window), np.uint16)
            tokens[:, 0], tokens[:, 1] = numbers >> 16, numbers & 0xFFFF
            tokens.tofile(whole)
            tokens.tofile(root / "chunks" / f"chunk-{start // chunk_windows:05d}.bin")
    (root / "done").touch()
    return root


def place() -> Path:
    """Return where the data are: $PYLOADER_BENCH, or a directory beside this file."""
    return Path(os.environ.get("PYLOADER_BENCH", Path(__file__).parent / "data"))


def read_files(root: Path) -> None:
    """Have the files below a directory in the page cache: some systems take from it what was not used for a while."""
    buffer = bytearray(2**22)
    for path in root.rglob("*"):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def forget_files(root: Path) -> None:
    """Ask the kernel to forget what it has cached of the files below a directory."""
    os.sync()  # what is not on disk yet cannot be forgotten
    for path in root.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
