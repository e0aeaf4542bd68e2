"""Train on a mixture of three corpora, in one process or several, with the same losses.

    python examples/torch_mixture.py WORK_DIR [--steps N] [--ranks 1|2|4]

Kill it and run it with another number of ranks: it goes on from its latest checkpoint as if there had been no stop.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from corpora import NAMES, VOCABULARY, token_chunks
from torch import distributed, nn
from torch.nn.functional import cross_entropy

import pyloader
from pyloader.packing import per_source_loss
from pyloader.torch import TorchDataCollator

LENGTH, STREAMS, ROWS = 64, 4, 4
WEIGHTS = [(0, {"sums": 6, "strings": 3, "code": 1}), (40, {"sums": 1, "strings": 3, "code": 6})]


def train(rank: int, ranks: int, work: Path, num_steps: int) -> None:
    """Train as one of several ranks; the first saves a checkpoint every five steps."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    meeting = (work / f"meeting-{os.getppid()}-{ranks}").absolute().as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    model = nn.Sequential(nn.Embedding(VOCABULARY, 64), nn.Linear(64, VOCABULARY))
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    world = pyloader.World(rank, ranks, num_streams=STREAMS)
    options = {"on_exhausted": "repeat", "with_source": True, "pack": LENGTH, "shuffle": True, "world": world}
    options |= {"datacollator": TorchDataCollator(), "batch_size": ROWS * STREAMS // ranks}
    loader = pyloader.DataLoader(data_dir=token_chunks(work), weights=WEIGHTS, **options)
    if (work / "checkpoint.pt").exists():
        checkpoint = torch.load(work / "checkpoint.pt", weights_only=True)
        model.load_state_dict(checkpoint["model"])
        loader.load_state_dict(json.loads(checkpoint["loader"]))
    while loader.steps_done < num_steps:
        batch, mine = next(loader), []
        # The streams' gradients are added in one order, whatever the ranks.
        for rows in torch.arange(len(batch["source"])).split(ROWS):
            tokens, counted = batch["tokens"][rows].long(), batch["loss_mask"][rows]
            losses = cross_entropy(model(tokens).transpose(1, 2), tokens.roll(-1, dims=1), reduction="none")
            gradients = torch.autograd.grad(losses[counted].mean() / STREAMS, list(model.parameters()))
            sums, counts = per_source_loss(losses.detach(), batch["source"][rows], num_sources=3, mask=counted)
            mine.append(torch.cat([sums, counts, *(gradient.flatten() for gradient in gradients)]))
        of_all = [torch.empty(STREAMS // ranks, len(mine[0])) for _ in range(ranks)]
        distributed.all_gather(of_all, torch.stack(mine))
        sums, counts, *gradients = torch.cat(of_all).sum(0).split([3, 3, *(each.numel() for each in gradients)])
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
        optimizer.step()
        if rank == 0:
            print(f"step {loader.steps_done}: {dict(zip(NAMES, (sums / counts).tolist(), strict=True))}", flush=True)
        if rank == 0 and loader.steps_done % 5 == 0:
            torch.save({"model": model.state_dict(), "loader": json.dumps(loader.state_dict())}, work / "coming.pt")
            os.replace(work / "coming.pt", work / "checkpoint.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--ranks", type=int, default=1)
    arguments = parser.parse_args()
    work = arguments.work_dir
    token_chunks(work)  # once, before the processes that read them
    torch.multiprocessing.spawn(train, (arguments.ranks, work, arguments.steps), nprocs=arguments.ranks)
