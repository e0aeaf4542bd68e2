"""Tell where a text comes from: a bag-of-bytes classifier in PyTorch, on chunks of JSON lines.

    python examples/torch_text_classifier.py DUMP.jsonl WORK_DIR [--epochs 3]

DUMP.jsonl has one {"text": "...", "label": 0} per line.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

import pyloader
from pyloader import DataCollator, DataLoader, Dataset
from pyloader.columns import Columns


class ByteShares(Dataset):
    """Text -> how large a share of it each byte has."""

    def batch_encode(self, columns: Columns) -> Columns:
        counts = [np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256) for text in columns["text"]]
        shares = np.array(counts, np.float32) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        return {"shares": shares.astype(np.float32), "label": columns["label"]}


class Tensors(DataCollator):
    """Columns of numbers -> tensors."""

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
    train = DataLoader(None, ByteShares(), Tensors(), chunks / "train", batch_size=64, shuffle=True, last_batch="drop")
    val = DataLoader(None, ByteShares(), Tensors(), chunks / "val", batch_size=256)

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
            right = torch.cat([model(batch["shares"]).argmax(dim=1) == batch["label"] for batch in val])
        print(f"epoch {epoch}: {right.float().mean():.1%} of {len(right)} held-out texts told right")


if __name__ == "__main__":
    main()
