"""JSON lines of text -> byte windows -> examples for a next-byte model: the three classes that a user writes."""

from __future__ import annotations

import json

import numpy as np

from pyloader.columns import Columns
from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader
from pyloader.dataset import Dataset
from pyloader.files import open_chunk

__all__ = ["ByteWindows", "NextByte", "TextPieces"]


class TextPieces(DataReader):
    """Reads chunks of JSON lines, {"id": 17, "text": "..."}."""

    def read_file(self, path: str) -> tuple[Columns, int]:
        with open_chunk(path) as lines:
            rows = [json.loads(line) for line in lines]
        return {"id": np.array([row["id"] for row in rows]), "text": [row["text"] for row in rows]}, len(rows)


class ByteWindows(Dataset):
    """Text -> its first 128 bytes as UTF-8, zeros behind its end."""

    def batch_encode(self, columns: Columns) -> Columns:
        rows = [text.encode()[:128].ljust(128, b"\0") for text in columns["text"]]
        return {"id": columns["id"], "bytes": np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 128)}


class NextByte(DataCollator):
    """Byte windows -> six places in each: the eight bytes before it, and the byte to predict."""

    def collate_batch(self, columns: Columns) -> dict[str, np.ndarray]:
        places = np.lib.stride_tricks.sliding_window_view(columns["bytes"], 9, axis=1)[:, ::20].reshape(-1, 9)
        places = places[places[:, 8] != 0]  # behind a text's end there is nothing to learn
        return {"id": np.asarray(columns["id"]), "context": places[:, :8], "target": places[:, 8]}
