"""Train a small language model on packed documents, and go on after a stop as if there had been none.

    python examples/torch_packed_documents.py WORK_DIR [--steps N]

The documents are documentation strings, their tokens those of a tokenizer that is trained here.  Run it with
--steps 20, then with --steps 40: the second run goes on where the first one stopped.
"""

import argparse
import json
from pathlib import Path

import torch
from corpora import VOCABULARY, token_chunks
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

import pyloader
from pyloader.packing import block_mask
from pyloader.torch import TorchDataCollator

LENGTH, WIDTH, HEADS = 128, 64, 4


class Model(nn.Module):
    """A layer of attention that stays in its document, and one of its own for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(4096, WIDTH)
        self.inputs, self.outputs = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mixing = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.guess = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: torch.Tensor, places: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.places(places % 4096)
        query, key, value = self.inputs(x).view(*tokens.shape, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.outputs(attended.transpose(1, 2).flatten(2))
        return self.guess(x + self.mixing(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    work, saved = arguments.work_dir, arguments.work_dir / "checkpoint.pt"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    options = {"batch_size": 8, "shuffle": True, "pack": LENGTH, "num_epochs": None}
    loader = pyloader.DataLoader(datacollator=TorchDataCollator(), data_dir=token_chunks(work)["strings"], **options)
    if saved.exists():
        checkpoint = torch.load(saved, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        loader.load_state_dict(json.loads(checkpoint["loader"]))
    with loader:
        while loader.steps_done < arguments.steps:
            batch = next(loader)
            tokens, counts = batch["tokens"].long(), batch["loss_mask"]
            mask = torch.from_numpy(block_mask(batch["segment_ids"].numpy()))
            guesses = model(tokens, batch["position_ids"].long(), mask)
            loss = cross_entropy(guesses[counts], tokens.roll(-1, dims=1)[counts])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loader.steps_done % 10 == 0:
                print(f"step {loader.steps_done}: loss {loss.item():.6f}")
        states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**states, "loader": json.dumps(loader.state_dict())}, saved)


if __name__ == "__main__":
    main()
