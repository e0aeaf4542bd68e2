"""Train a convolutional network in PyTorch on JPEGs, decoded and cropped in threads while it trains.

    python examples/torch_images.py WORK_DIR [--epochs 10]

The images are scikit-learn's digits, 1,797 of 8 x 8 pixels, as JPEGs of 32 x 32 in a folder for each class.
"""

import argparse
from pathlib import Path

import torch
from digits import photo_chunks

from pyloader import DataLoader, ImageDataset


def convolution(inputs: int, outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2))


def normalised(images) -> torch.Tensor:
    """Return uint8 [rows, 3, height, width] as floats around 0; on a GPU this would be done there."""
    return torch.from_numpy(images).float() / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    chunks = photo_chunks(arguments.work_dir)
    # Digits must not be mirrored, and most of each must be seen.
    augmented = ImageDataset(size=32, scale=(0.7, 1.0), flip=False, layout="NCHW")
    as_they_are = ImageDataset(size=32, crop="center", layout="NCHW")
    options = {"batch_size": 64, "num_epochs": arguments.epochs, "shuffle": True, "seed": 0, "last_batch": "drop"}
    train = DataLoader(None, augmented, data_dir=chunks / "train", **options)

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        convolution(3, 16), convolution(16, 32), torch.nn.Flatten(), torch.nn.Linear(32 * 8 * 8, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step, batch in enumerate(train):
        loss = torch.nn.functional.cross_entropy(model(normalised(batch["image"])), torch.from_numpy(batch["label"]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}")

    right = total = 0
    with torch.no_grad():
        for batch in DataLoader(None, as_they_are, data_dir=chunks / "val", batch_size=256):
            right += (model(normalised(batch["image"])).argmax(dim=1).numpy() == batch["label"]).sum()
            total += len(batch["label"])
    print(f"{right / total:.1%} of {total} held-out digits told right")
    assert right / total > 0.9


if __name__ == "__main__":
    main()
