"""Train a language model of bytes on chunks of text, in Flax NNX; kill it whenever you like, and run it again to go on.

    python examples/flax_language_model.py DUMP.jsonl WORK_DIR [--steps 300]

DUMP.jsonl has one {"text": "..."} per line.  An Orbax checkpoint has the model, its optimizer, and the loader's state.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx

import pyloader
from pyloader import DataLoader, Dataset
from pyloader.columns import Columns
from pyloader.jax import prefetch_to_device

LENGTH = 96  # bytes of a text; zeros stand behind its end


class Bytes(Dataset):
    """Text -> uint8 [LENGTH]."""

    def batch_encode(self, columns: Columns) -> Columns:
        rows = [text.encode()[:LENGTH].ljust(LENGTH, b"\0") for text in columns["text"]]
        return {"bytes": np.frombuffer(b"".join(rows), np.uint8).reshape(-1, LENGTH)}


class Transformer(nnx.Module):
    """A transformer of one layer, which predicts each byte from those before it."""

    def __init__(self, *, width: int = 64, rngs: nnx.Rngs) -> None:
        self.bytes, self.places = (nnx.Embed(size, width, rngs=rngs) for size in (256, LENGTH))
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.norm1, self.norm2, self.norm3 = (nnx.LayerNorm(width, rngs=rngs) for _ in range(3))
        self.wide, self.narrow = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)
        self.out = nnx.Linear(width, 256, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.bytes(jnp.pad(x[:, :-1], ((0, 0), (1, 0)))) + self.places(jnp.arange(LENGTH))
        x = x + self.attention(self.norm1(x), mask=nnx.make_causal_mask(x[..., 0]))
        x = x + self.narrow(nnx.gelu(self.wide(self.norm2(x))))
        return self.out(self.norm3(x))


@nnx.jit
def train_step(model: Transformer, optimizer: nnx.Optimizer, x: jax.Array) -> jax.Array:
    def loss_fn(model: Transformer) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(model(x), x.astype(jnp.int32))
        return jnp.mean(losses, where=x != 0)

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", type=Path)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()

    chunks = arguments.work_dir / "chunks"
    if not chunks.exists():
        pyloader.split([arguments.dump], chunks, num_chunks=16, shuffle=True, progress=True)
    options = {"batch_size": 32, "num_epochs": None, "shuffle": True, "seed": 0}
    batches = prefetch_to_device(DataLoader(None, Bytes(), data_dir=chunks, **options))

    model = Transformer(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(3e-3), wrt=nnx.Param)
    with ocp.CheckpointManager(arguments.work_dir.resolve() / "checkpoints") as checkpoints:
        if (latest := checkpoints.latest_step()) is not None:
            abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, nnx.state((model, optimizer)))
            places = ocp.args.Composite(model=ocp.args.StandardRestore(abstract), loader=ocp.args.JsonRestore())
            saved = checkpoints.restore(latest, args=places)
            nnx.update((model, optimizer), saved["model"])
            batches.load_state_dict(saved["loader"])
        for batch in batches:
            loss = train_step(model, optimizer, batch["bytes"])
            step = batches.steps_done
            if step % 10 == 0:
                print(f"step {step}, epoch {batches.epochs_done}: loss {loss:.6f} nats a byte", flush=True)
            if step % 25 == 0:
                state = ocp.args.StandardSave(nnx.state((model, optimizer)))
                loader = ocp.args.JsonSave(batches.state_dict())
                checkpoints.save(step, args=ocp.args.Composite(model=state, loader=loader))
            if step == arguments.steps:
                break


if __name__ == "__main__":
    main()
