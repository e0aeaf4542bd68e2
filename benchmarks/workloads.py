"""The workloads: what every contender delivers, from the same data, in batches of the same size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from making import make_arrays, make_lines, make_tokens, place

__all__ = ["WORKLOADS", "Data", "encode_lines", "encode_text", "make"]

TEXT_LENGTH = 64
WINDOW = 1025


@dataclass(frozen=True, kw_only=True)
class Data:
    """A workload's data, on disk.

    Attributes:
      kind: "arrays", "text" or "tokens".
      root: Where they lie; contenders put their own form of them below it.
      num_samples: How many samples there are; sample i has the id i.
      chunk_samples: How many samples a chunk has, in the order in which they lie in the dump.
      shape: Of a sample of arrays.
      batch_size: Samples in a batch.
    """

    kind: str
    root: Path
    num_samples: int
    chunk_samples: int
    batch_size: int = 256
    shape: tuple[int, ...] = ()

    @property
    def chunks(self) -> Path:
        """The directory of chunks."""
        return self.root / "chunks"

    def array(self, name: str) -> np.ndarray:
        """Return a column of the arrays, mapped.  (np.asarray, because slicing a memmap is slow.)"""
        return np.asarray(np.load(self.root / f"{name}.npy", mmap_mode="r"))

    def tokens(self) -> np.ndarray:
        """Return all tokens, mapped."""
        return np.asarray(np.memmap(self.root / "tokens.bin", np.uint16, "r"))


# Workload -> its data at full size, and at the size at which it is tried out and at which coverage is checked.
WORKLOADS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "dense": (
        {"kind": "arrays", "num_samples": 300_000, "shape": (28, 28), "chunk_samples": 4096},
        {"kind": "arrays", "num_samples": 4_100, "shape": (28, 28), "chunk_samples": 512},
    ),
    "small": (
        {"kind": "arrays", "num_samples": 5_000_000, "shape": (16,), "chunk_samples": 262_144},
        {"kind": "arrays", "num_samples": 8_200, "shape": (16,), "chunk_samples": 1024},
    ),
    "text": (
        {"kind": "text", "num_samples": 1_000_000, "chunk_samples": 8192},
        {"kind": "text", "num_samples": 2_100, "chunk_samples": 256},
    ),
    "tokens": (
        {"kind": "tokens", "num_samples": 97_560, "chunk_samples": 7_808, "batch_size": 32},
        {"kind": "tokens", "num_samples": 520, "chunk_samples": 64, "batch_size": 32},
    ),
}
WORKLOADS["dense cold"] = WORKLOADS["dense"]


def make(workload: str, *, tiny: bool) -> Data:
    """Return a workload's data, made if they are not there yet."""
    options = WORKLOADS[workload][tiny]
    root = place() / f"{options['kind']}-{options['num_samples']}"
    data = Data(root=root, **options)  # type: ignore[arg-type]
    if data.kind == "arrays":
        make_arrays(root, num_samples=data.num_samples, shape=data.shape, chunk_samples=data.chunk_samples)
    elif data.kind == "text":
        make_lines(root, num_lines=data.num_samples, chunk_lines=data.chunk_samples)
    else:
        make_tokens(root, num_windows=data.num_samples, window=WINDOW, chunk_windows=data.chunk_samples)
    return data


class Vocabulary(dict[str, int]):
    """Numbers for words, in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]


_VOCABULARY = Vocabulary()


def encode_text(text: str) -> np.ndarray:
    """Return the numbers of a text's first 64 words, int32 [64]: what is plain Python in every text workload."""
    ids = np.zeros(TEXT_LENGTH, np.int32)
    numbers = [_VOCABULARY[word] for word in text.split()][:TEXT_LENGTH]
    ids[: len(numbers)] = numbers
    return ids


def encode_lines(lines: list[bytes] | list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of JSON lines' texts, int32 [lines, 64], and their ids."""
    rows = [json.loads(line) for line in lines]
    return np.stack([encode_text(row["text"]) for row in rows]), np.array([row["id"] for row in rows])


def window_ids(windows: np.ndarray) -> np.ndarray:
    """Return which windows these are: their numbers are in their first two tokens."""
    return windows[:, 0].astype(np.int64) << 16 | windows[:, 1].astype(np.int64)
