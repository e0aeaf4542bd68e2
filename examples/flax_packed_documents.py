"""Train a small language model on packed documents in Flax NNX, and go on after a stop as if there had been none.

    python examples/flax_packed_documents.py WORK_DIR [--steps N]

As examples/torch_packed_documents.py, which says more.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
from corpora import VOCABULARY, token_chunks
from flax import nnx

import pyloader
from pyloader.packing import block_mask

LENGTH, WIDTH, HEADS = 128, 64, 4


class Model(nnx.Module):
    """A layer of attention that stays in its document, and one of its own for each token."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.tokens, self.places = (nnx.Embed(size, WIDTH, rngs=rngs) for size in (VOCABULARY, 4096))
        sizes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH), (WIDTH, VOCABULARY)]
        linear = (nnx.Linear(*size, rngs=rngs) for size in sizes)
        self.inputs, self.outputs, self.wide, self.narrow, self.guess = linear

    def __call__(self, tokens: jax.Array, places: jax.Array, mask: jax.Array) -> jax.Array:
        x = self.tokens(tokens) + self.places(places % 4096)
        query, key, value = jnp.moveaxis(self.inputs(x).reshape(*tokens.shape, 3, HEADS, -1), 2, 0)
        attended = jax.nn.dot_product_attention(query, key, value, mask=mask)
        x = x + self.outputs(attended.reshape(x.shape))
        return self.guess(x + self.narrow(nnx.gelu(self.wide(x))))


@nnx.jit
def train_step(model: Model, optimizer: nnx.Optimizer, batch: dict[str, jax.Array], mask: jax.Array) -> jax.Array:
    tokens, counts = batch["tokens"].astype(jnp.int32), batch["loss_mask"]

    def loss_fn(model: Model) -> jax.Array:
        guesses = model(tokens, batch["position_ids"], mask)
        losses = optax.softmax_cross_entropy_with_integer_labels(guesses, jnp.roll(tokens, -1, axis=1))
        return jnp.mean(losses, where=counts)

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    work = arguments.work_dir.resolve()
    loader = pyloader.DataLoader(
        data_dir=token_chunks(work)["strings"], pack=LENGTH, batch_size=8, shuffle=True, num_epochs=None
    )
    model = Model(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(1e-2), wrt=nnx.Param)
    with ocp.CheckpointManager(work / "checkpoints") as checkpoints:
        if (latest := checkpoints.latest_step()) is not None:
            abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, nnx.state((model, optimizer)))
            places = ocp.args.Composite(model=ocp.args.StandardRestore(abstract), loader=ocp.args.JsonRestore())
            saved = checkpoints.restore(latest, args=places)
            nnx.update((model, optimizer), saved["model"])
            loader.load_state_dict(saved["loader"])
        while loader.steps_done < arguments.steps:
            batch = next(loader)
            loss = train_step(model, optimizer, batch, block_mask(batch["segment_ids"]))
            if loader.steps_done % 10 == 0:
                print(f"step {loader.steps_done}: loss {loss:.6f}")
        state, place = ocp.args.StandardSave(nnx.state((model, optimizer))), ocp.args.JsonSave(loader.state_dict())
        checkpoints.save(loader.steps_done, args=ocp.args.Composite(model=state, loader=place))


if __name__ == "__main__":
    main()
