"""Train a convolutional network on chunks of images, in Flax NNX; evaluate it every 500 steps.

    python examples/flax_image_classifier.py WORK_DIR [--epochs 24]

The images are scikit-learn's digits: 1,797 of 8 x 8 pixels.
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
from pyloader.jax import prefetch_to_device


class Pixels(Dataset):
    """Grey values from 0 to 16 -> float32 [8, 8, 1] from 0 to 1."""

    def batch_encode(self, columns: Columns) -> Columns:
        return {"data": np.asarray(columns["data"], np.float32)[..., None] / 16, "label": columns["label"]}


class CNN(nnx.Module):
    """Two convolutions and two dense layers."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), rngs=rngs)
        self.hidden = nnx.Linear(4 * 4 * 32, 64, rngs=rngs)
        self.out = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.avg_pool(nnx.relu(self.conv1(x)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.relu(self.conv2(x))
        return self.out(nnx.relu(self.hidden(x.reshape(len(x), -1))))


def loss_fn(model: CNN, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    logits = model(batch["data"])
    return optax.softmax_cross_entropy_with_integer_labels(logits=logits, labels=batch["label"]).mean(), logits


@nnx.jit
def train_step(model: CNN, optimizer: nnx.Optimizer, metrics: nnx.MultiMetric, batch: dict[str, jax.Array]) -> None:
    (loss, logits), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])
    optimizer.update(model, grads)


@nnx.jit
def eval_step(model: CNN, metrics: nnx.MultiMetric, batch: dict[str, jax.Array]) -> None:
    loss, logits = loss_fn(model, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=24)
    arguments = parser.parse_args()

    chunks = array_chunks(arguments.work_dir)
    model = CNN(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
    options = {"batch_size": 32, "num_epochs": arguments.epochs, "shuffle": True, "seed": 0, "last_batch": "drop"}
    train = prefetch_to_device(DataLoader(None, Pixels(), data_dir=chunks / "train", **options))
    for step, batch in enumerate(train):
        train_step(model, optimizer, metrics, batch)
        if step > 0 and step % 500 == 0:
            report(step, "train", metrics)
            for val_batch in prefetch_to_device(DataLoader(None, Pixels(), data_dir=chunks / "val", batch_size=256)):
                eval_step(model, metrics, val_batch)
            report(step, "val", metrics)


def report(step: int, name: str, metrics: nnx.MultiMetric) -> None:
    values = metrics.compute()
    print(f"step {step}: {name} accuracy {values['accuracy']:.4f}, loss {values['loss']:.4f}")
    metrics.reset()


if __name__ == "__main__":
    main()
