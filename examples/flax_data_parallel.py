"""Train on eight devices, each with its part of every batch, in Flax NNX.

    python examples/flax_data_parallel.py WORK_DIR [--epochs 20]

Where there are no accelerators JAX makes eight devices of the processor.  With jax.distributed.initialize() at its
beginning, and the chunks made before, it runs on several hosts.  The images are scikit-learn's digits.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from digits import array_chunks
from flax import nnx

from pyloader import DataLoader, Dataset
from pyloader.columns import Columns
from pyloader.jax import MeshShard, ddp_sharding, prefetch_to_device

jax.config.update("jax_num_cpu_devices", 8)


class Pixels(Dataset):
    """Grey values from 0 to 16 -> float32 [64] from 0 to 1."""

    def batch_encode(self, columns: Columns) -> Columns:
        return {"data": np.asarray(columns["data"], np.float32).reshape(-1, 64) / 16, "label": columns["label"]}


class MLP(nnx.Module):
    """Two dense layers."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(64, 128, rngs=rngs)
        self.out = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(nnx.relu(self.hidden(x)))


@nnx.jit
def train_step(model: MLP, optimizer: nnx.Optimizer, batch: dict[str, jax.Array]) -> jax.Array:
    def loss_fn(model: MLP) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model(batch["data"]), batch["label"]).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


@nnx.jit
def num_right(model: MLP, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    is_right = model(batch["data"]).argmax(axis=1) == batch["label"]
    return (is_right & batch["mask"]).sum(), batch["mask"].sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()

    mesh, _ = ddp_sharding()
    shard = MeshShard(mesh, data_axis_name="data")  # which part this process loads
    chunks = array_chunks(arguments.work_dir)
    options = {"batch_size": 64 // shard.size, "shuffle": True, "seed": 0, "world": shard}
    train = DataLoader(None, Pixels(), data_dir=chunks / "train", last_batch="drop", **options)
    val = DataLoader(None, Pixels(), data_dir=chunks / "val", last_batch="pad", **options)
    train, val = (prefetch_to_device(loader, sharding=shard.sharding) for loader in (train, val))

    model = MLP(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(2e-3), wrt=nnx.Param)
    state = jax.device_put(nnx.state((model, optimizer)), shard.named_sharding())  # a copy on every device
    nnx.update((model, optimizer), state)
    for epoch in range(arguments.epochs):
        for batch in train:
            loss = train_step(model, optimizer, batch)
        val.reset()
        right, num_val = np.sum([num_right(model, batch) for batch in val], axis=0)
        print(f"epoch {epoch}: loss {loss:.4f}, {right / num_val:.1%} of {num_val} held-out digits told right")
    print(f"a batch: {batch['data'].shape} on {len(batch['data'].devices())} devices, as {batch['data'].sharding.spec}")


if __name__ == "__main__":
    main()
