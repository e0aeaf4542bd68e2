"""Train a next-byte model on chunks of text, in NumPy; stop it whenever you like, and run it again to go on.

    python examples/numpy_text_model.py DUMP.jsonl WORK_DIR [--epochs 3]

DUMP.jsonl has one {"id": 17, "text": "..."} per line.
"""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np

import pyloader
from pyloader import DataCollator, DataLoader, DataReader, Dataset, open_chunk
from pyloader.columns import Columns
from pyloader.demo.model import NextByteModel


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", type=Path)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()

    chunks, checkpoint = arguments.work_dir / "chunks", arguments.work_dir / "checkpoint.pickle"
    if not chunks.exists():
        pyloader.split([arguments.dump], chunks, num_chunks=16, shuffle=True, progress=True)

    model = NextByteModel()
    loader = DataLoader(TextPieces(), ByteWindows(), NextByte(), chunks, batch_size=64, shuffle=True, seed=0)
    if checkpoint.exists():
        model, state = pickle.loads(checkpoint.read_bytes())
        loader.load_state_dict(state)

    for epoch in range(loader.epochs_done, arguments.epochs):
        losses = []
        for batch in loader:
            losses.append(model.train_step(batch["context"], batch["target"]))
            if loader.steps_done % 100 == 0:  # the model and its place in the data, in one file: they belong together
                checkpoint.write_bytes(pickle.dumps((model, loader.state_dict())))
        print(f"epoch {epoch}: {len(losses)} steps, loss {np.mean(losses):.3f} nats a byte")
    checkpoint.write_bytes(pickle.dumps((model, loader.state_dict())))
    print(loader.stats())


if __name__ == "__main__":
    main()
