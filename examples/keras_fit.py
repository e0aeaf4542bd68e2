"""Read digits with Keras: model.fit on chunk files, stopped half-way through an epoch, and taken up again.

    python examples/keras_fit.py WORK_DIR

The data are scikit-learn's 1,797 handwritten digits.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import keras
from sklearn.datasets import load_digits

from pyloader import ChunkWriter, DataCollator, DataLoader
from pyloader.columns import Columns
from pyloader.tensorflow import LoaderDataset, as_tf_dataset

STEPS = 22 * 5  # five epochs


class Pairs(DataCollator):
    """Columns -> (inputs, targets), as model.fit takes them."""

    def collate_batch(self, columns: Columns) -> tuple[Any, Any]:
        return columns["image"], columns["label"]


def write_digits(directory: Path) -> None:
    """Write every fifth digit to DIRECTORY/val, and the others to DIRECTORY/train."""
    digits = load_digits()
    with ChunkWriter(directory / "train", chunk_samples=150) as train, ChunkWriter(directory / "val") as val:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            sample = {"image": image.astype("float32") / 16, "label": label}
            (train if number % 5 else val).write(sample)


def train_on(chunks: Path) -> LoaderDataset:
    """Return the training batches: endless, since Keras counts the steps."""
    loader = DataLoader(
        None, None, Pairs(), chunks / "train", num_epochs=None, batch_size=64, shuffle=True, last_batch="drop"
    )
    return as_tf_dataset(loader)


def new_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    work_dir = parser.parse_args().work_dir
    chunks, saved, position = work_dir / "digits", work_dir / "digits.keras", work_dir / "loader.json"
    if not chunks.exists():
        write_digits(chunks)

    train = train_on(chunks)
    if position.exists():
        model = keras.saving.load_model(saved)
        train.load_state_dict(json.loads(position.read_text()))
        print(f"going on after step {train.steps_done}")
    else:
        model = new_model()
        model.fit(train, steps_per_epoch=50, shuffle=False, verbose=0)  # ... and the machine is needed elsewhere
        model.save(saved)
        position.write_text(json.dumps(train.state_dict()))
        print(f"stopped after step {train.steps_done}: run it again to go on")
        return
    history = model.fit(train, steps_per_epoch=STEPS - train.steps_done, shuffle=False, verbose=0)
    print(f"loss {history.history['loss'][-1]:.3f} over the last {STEPS - 50} of {train.steps_done} steps")
    val = DataLoader(None, None, Pairs(), chunks / "val", batch_size=512)
    _, right = model.evaluate(*next(val), verbose=0)
    print(f"{right:.1%} of the held-out digits read right")
    assert right > 0.85, "guessing gives 10%"


if __name__ == "__main__":
    main()
