"""A whole epoch inside one compiled function: a digit classifier in plain JAX, with scan_epoch.

    python examples/jit_scan_epoch.py            # scikit-learn's digits: pip install jax scikit-learn

Shuffling, batching and training are one XLA program an epoch.  The state of the pipeline is a few numbers; it is saved
half-way, and the run goes on from it as if there had been no stop.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from pyloader.jax import ArraySource, BatchTransform, DataLoader, FlattenTransform, NormalizeImageTransform

EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 64, 0.5


def pipeline(images, labels, ordering):
    data = {"image": images.astype(np.uint8), "label": labels.astype(np.int32)}
    return DataLoader(
        [
            ArraySource(data, ordering=ordering),
            BatchTransform(BATCH_SIZE),  # the last batch is padded, and its mask says so
            NormalizeImageTransform(scale=1 / 16),
            FlattenTransform("image"),
        ]
    )


def init_params(key):
    first, second = jax.random.split(key)
    return {
        "hidden": jax.random.normal(first, (64, 32)) / 8,
        "bias": jnp.zeros(32),
        "out": jax.random.normal(second, (32, 10)) / 6,
    }


def logits_of(params, images):
    return jax.nn.relu(images @ params["hidden"] + params["bias"]) @ params["out"]


def loss_of(params, batch, mask):
    log_probs = jax.nn.log_softmax(logits_of(params, batch["image"]))
    losses = -jnp.take_along_axis(log_probs, batch["label"][:, None], axis=1)[:, 0]
    return jnp.sum(losses * mask) / jnp.sum(mask)


def train_step(params, batch, mask):
    loss, gradients = jax.value_and_grad(loss_of)(params, batch, mask)
    return jax.tree.map(lambda value, slope: value - LEARNING_RATE * slope, params, gradients), loss


def count_right(total, batch, mask):
    right = logits_of(params=total["params"], images=batch["image"]).argmax(axis=1) == batch["label"]
    return {**total, "right": total["right"] + jnp.sum(right & mask), "all": total["all"] + jnp.sum(mask)}, None


def main():
    digits = load_digits()
    train = pipeline(digits.images[:1400], digits.target[:1400], "shuffle")
    test = pipeline(digits.images[1400:], digits.target[1400:], "sequential")

    @jax.jit
    def train_epoch(state, params):
        state, params, losses = train.scan_epoch(state, params, train_step)
        return state, params, losses.mean()

    params, state = init_params(jax.random.key(0)), train.init_state(jax.random.key(1))
    for epoch in range(EPOCHS):
        if epoch == EPOCHS // 2:  # what a run does that was stopped here, and begins again
            saved = json.dumps(train.state_dict(state))
            state = train.load_state_dict(json.loads(saved))
            print(f"saved and loaded the pipeline's state: {len(saved)} bytes of JSON")
        state, params, loss = train_epoch(state, params)
        print(f"epoch {epoch}: loss {loss:.3f}")

    start = {"params": params, "right": 0, "all": 0}
    _, found, _ = test.scan_epoch(test.init_state(0), start, count_right)
    accuracy = found["right"] / found["all"]
    print(f"accuracy {accuracy:.3f} on {found['all']} digits that it has not seen; guessing gives 0.1")
    assert found["all"] == 397
    assert accuracy > 0.85


if __name__ == "__main__":
    main()
