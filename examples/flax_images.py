"""Train a convolutional network in Flax NNX on JPEGs, decoded and cropped in threads while it trains.

    python examples/flax_images.py WORK_DIR [--epochs 10]

The images are scikit-learn's digits, 1,797 of 8 x 8 pixels, as JPEGs of 32 x 32 in a folder for each class.
"""

import argparse
from pathlib import Path

import jax
import optax
from digits import photo_chunks
from flax import nnx

from pyloader import DataLoader, ImageDataset
from pyloader.jax import prefetch_to_device


class CNN(nnx.Module):
    """Two convolutions and a dense layer."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), rngs=rngs)
        self.out = nnx.Linear(8 * 8 * 32, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = images.astype("float32") / 127.5 - 1  # on the device, to which bytes were moved
        x = nnx.max_pool(nnx.relu(self.conv1(x)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), window_shape=(2, 2), strides=(2, 2))
        return self.out(x.reshape(len(x), -1))


@nnx.jit
def train_step(model: CNN, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array) -> jax.Array:
    def loss_fn(model: CNN) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits=model(images), labels=labels).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    chunks = photo_chunks(arguments.work_dir)
    # Digits must not be mirrored, and most of each must be seen.
    augmented, as_they_are = ImageDataset(size=32, scale=(0.7, 1.0), flip=False), ImageDataset(size=32, crop="center")
    options = {"batch_size": 64, "num_epochs": arguments.epochs, "shuffle": True, "seed": 0, "last_batch": "drop"}
    model = CNN(rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adamw(3e-3), wrt=nnx.Param)
    train = DataLoader(None, augmented, data_dir=chunks / "train", **options)
    for step, batch in enumerate(prefetch_to_device(train)):
        loss = train_step(model, optimizer, batch["image"], batch["label"])
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.4f}")

    right = total = 0
    for batch in DataLoader(None, as_they_are, data_dir=chunks / "val", batch_size=256):
        right += int((model(batch["image"]).argmax(axis=1) == batch["label"]).sum())
        total += len(batch["label"])
    print(f"{right / total:.1%} of {total} held-out digits told right")
    assert right / total > 0.9


if __name__ == "__main__":
    main()
