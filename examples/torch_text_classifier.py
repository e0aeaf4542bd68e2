"""Tell where a text comes from: a bag-of-bytes classifier in PyTorch, on chunks of JSON lines.

    python examples/torch_text_classifier.py DUMP.jsonl WORK_DIR [--epochs 3]

DUMP.jsonl has one {"text": "...", "label": 0} per line.  The three classes are what one writes for data of one's own.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import pyloader
from pyloader import DataCollator, DataLoader, DataReader, Dataset, open_chunk
from pyloader.columns import Columns


class LabelledTexts(DataReader):
    """A chunk of JSON lines -> texts and labels."""

    def read_file(self, path: str) -> tuple[Columns, int]:
        with open_chunk(path) as lines:
            rows = [json.loads(line) for line in lines]
        return {"text": [row["text"] for row in rows], "label": [row["label"] for row in rows]}, len(rows)


class ByteShares(Dataset):
    """Text -> how large a share of it each byte has."""

    def batch_encode(self, columns: Columns) -> Columns:
        counts = [np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256) for text in columns["text"]]
        shares = np.array(counts, np.float32) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        return {"shares": shares.astype(np.float32), "label": columns["label"]}


class Tensors(DataCollator):
    """Columns of numbers -> tensors.  `pyloader.torch.TorchDataCollator` does this, and more."""

    def collate_batch(self, columns: Columns) -> dict[str, torch.Tensor]:
        return {name: torch.as_tensor(values) for name, values in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", type=Path)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()

    chunks = arguments.work_dir / "chunks"
    if not chunks.exists():
        pyloader.split([arguments.dump], chunks, num_chunks=16, shuffle=True, holdout={"val": 0.1}, progress=True)
    train = DataLoader(
        LabelledTexts(), ByteShares(), Tensors(), chunks / "train", batch_size=64, shuffle=True, last_batch="drop"
    )
    val = DataLoader(LabelledTexts(), ByteShares(), Tensors(), chunks / "val", batch_size=256)

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(256, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(arguments.epochs):
        for batch in train:
            loss = torch.nn.functional.cross_entropy(model(batch["shares"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        val.reset()
        with torch.no_grad():
            tests = [(model(batch["shares"]).argmax(dim=1), batch["label"]) for batch in val]
        guessed, labels = (torch.cat(parts) for parts in zip(*tests, strict=True))
        right, by_guessing = (guessed == labels).float().mean(), labels.bincount().max() / len(labels)
        print(
            f"epoch {epoch}: {right:.1%} of {len(labels)} held-out texts told right; guessing gives {by_guessing:.1%}"
        )
    assert right > by_guessing + 0.1, "nothing was learned"


if __name__ == "__main__":
    main()
