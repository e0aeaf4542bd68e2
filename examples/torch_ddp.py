"""Read digits on several processes at once: DistributedDataParallel, each rank with its own part of every batch.

    torchrun --standalone --nproc-per-node 2 examples/torch_ddp.py WORK_DIR

The data are scikit-learn's 1,797 handwritten digits.  One process or two train the same model: the batches over all
ranks are the same, and so is what is learned.
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from pyloader import ChunkWriter, DataLoader, World
from pyloader.torch import TorchDataCollator, prefetch_to_device

GLOBAL_BATCH = 64
EPOCHS = 8


def write_digits(directory: Path) -> None:
    """Write every fifth digit to DIRECTORY/val, and the others to DIRECTORY/train."""
    digits = load_digits()
    with ChunkWriter(directory / "train", chunk_samples=150) as train, ChunkWriter(directory / "val") as val:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            sample = {"image": image.astype("float32") / 16, "label": label}
            (train if number % 5 else val).write(sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    chunks = parser.parse_args().work_dir / "digits"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    if rank == 0 and not chunks.exists():
        write_digits(chunks)
    dist.barrier()

    # world="auto" would do.  Four streams: the batches over all ranks are the same on 1, 2 or 4 of them.
    loader = DataLoader(
        datacollator=TorchDataCollator(pin_memory=True),
        data_dir=chunks / "train",
        batch_size=GLOBAL_BATCH // size,
        shuffle=True,
        max_queue_size=40,
        last_batch="drop",
        world=World(rank, size, num_streams=4),
    )
    train = prefetch_to_device(loader, device)
    val = DataLoader(datacollator=TorchDataCollator(), data_dir=chunks / "val", batch_size=512, world=None)

    torch.manual_seed(0)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)]
    model = DistributedDataParallel(torch.nn.Sequential(*layers).to(device))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for epoch in range(train.epochs_done, EPOCHS):
        for batch in train:
            loss = cross_entropy(model(batch["image"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()  # averages the gradients over the ranks
            optimizer.step()
        dist.all_reduce(loss := loss.detach() / size)
        if rank == 0:
            print(f"epoch {epoch}: loss of the last batch {loss.item():.4f}")
    if rank == 0:
        val.reset()
        tests = next(val)
        right = (model.module(tests["image"].to(device)).argmax(dim=1).cpu() == tests["label"]).float().mean()
        norm = sum(weights.double().square().sum() for weights in model.parameters()).sqrt()
        print(f"{right:.1%} of {len(tests['label'])} held-out digits read right; weights of norm {norm.item():.4f}")
        assert right > 0.85, "guessing gives 10%"
    # The model first: what it holds of the group would end gloo's threads while they may wait for this one.
    del model
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
