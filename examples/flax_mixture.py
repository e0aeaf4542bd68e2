"""Train in Flax NNX on a mixture of three corpora, in one process or several, with the same losses to the last bit.

    python examples/flax_mixture.py WORK_DIR [--steps N] [--ranks 1|2|4]

Kill it and run it with another number of ranks: it goes on from its latest checkpoint as if there had been no stop.
"""

import argparse
import multiprocessing
import socket
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from corpora import NAMES, VOCABULARY, token_chunks
from flax import nnx
from jax.experimental.multihost_utils import process_allgather

import pyloader
from pyloader.packing import per_source_loss

LENGTH, STREAMS, ROWS = 64, 4, 4
WEIGHTS = [(0, {"sums": 6, "strings": 3, "code": 1}), (40, {"sums": 1, "strings": 3, "code": 6})]


@nnx.jit
def gradients_and_losses(model: nnx.Module, rows: dict[str, jax.Array]) -> tuple[nnx.State, jax.Array, jax.Array]:
    """Return the gradients of a stream's rows, and the sum and the number of the losses of each source."""
    tokens, counted = rows["tokens"].astype(jnp.int32), rows["loss_mask"]

    def loss_fn(model: nnx.Module) -> tuple[jax.Array, jax.Array]:
        losses = optax.softmax_cross_entropy_with_integer_labels(model(tokens), jnp.roll(tokens, -1, axis=1))
        return jnp.mean(losses, where=counted) / STREAMS, losses

    gradients, losses = nnx.grad(loss_fn, has_aux=True)(model)
    return gradients, *per_source_loss(losses, rows["source"], num_sources=len(NAMES), mask=counted)


def train(rank: int, ranks: int, meeting: str, work: Path, num_steps: int) -> None:
    """Train as one of several ranks; a checkpoint is saved every five steps."""
    jax.distributed.initialize(meeting, ranks, rank)
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Embed(VOCABULARY, 64, rngs=rngs), nnx.Linear(64, VOCABULARY, rngs=rngs))
    optimizer = nnx.Optimizer(model, optax.sgd(10.0), wrt=nnx.Param)
    world = pyloader.World(rank, ranks, num_streams=STREAMS)
    options = {"on_exhausted": "repeat", "with_source": True, "pack": LENGTH, "shuffle": True, "world": world}
    options["batch_size"] = ROWS * STREAMS // ranks
    loader = pyloader.DataLoader(data_dir=token_chunks(work), weights=WEIGHTS, **options)
    with ocp.CheckpointManager(work / "checkpoints") as checkpoints:
        if (latest := checkpoints.latest_step()) is not None:
            places = {"model": ocp.args.StandardRestore(on_host(model)), "loader": ocp.args.JsonRestore()}
            saved = checkpoints.restore(latest, args=ocp.args.Composite(**places))
            nnx.update(model, saved["model"])
            loader.load_state_dict(saved["loader"])
        while loader.steps_done < num_steps:
            batch = next(loader)
            split = {name: np.split(of_rows, STREAMS // ranks) for name, of_rows in batch.items()}
            streams = [dict(zip(split, rows, strict=True)) for rows in zip(*split.values(), strict=True)]
            mine = [gradients_and_losses(model, rows) for rows in streams]
            of_all = process_allgather(jax.tree.map(lambda *x: np.stack(x), *mine), tiled=True)
            # The streams' gradients are added in one order, whatever the ranks.
            gradients, sums, counts = jax.tree.map(lambda x: np.sum(x, axis=0), of_all)
            optimizer.update(model, gradients)
            if rank == 0:
                losses = {name: float(sums[at] / counts[at]) for at, name in enumerate(NAMES) if counts[at]}
                print(f"step {loader.steps_done}: {losses}", flush=True)
            if loader.steps_done % 5 == 0:
                state = {
                    "model": ocp.args.StandardSave(on_host(model)),
                    "loader": ocp.args.JsonSave(loader.state_dict()),
                }
                checkpoints.save(loader.steps_done, args=ocp.args.Composite(**state))
                checkpoints.wait_until_finished()


def on_host(model: nnx.Module) -> nnx.State:
    """Return the model as NumPy arrays, which are the same in all processes."""
    return jax.tree.map(np.asarray, nnx.state(model))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--ranks", type=int, default=1)
    arguments = parser.parse_args()
    work = arguments.work_dir.resolve()
    token_chunks(work)  # once, before the processes that read them
    with socket.create_server(("localhost", 0)) as free:
        meeting = f"localhost:{free.getsockname()[1]}"
    with ProcessPoolExecutor(arguments.ranks, multiprocessing.get_context("spawn")) as pool:
        about = (arguments.ranks, meeting, work, arguments.steps)
        for rank in [pool.submit(train, rank, *about) for rank in range(arguments.ranks)]:
            rank.result()
