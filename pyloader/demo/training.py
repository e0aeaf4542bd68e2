"""A training loop that counts for itself what it received."""

from __future__ import annotations

import math

import numpy as np
from tqdm import tqdm

from pyloader.dataloader import DataLoader
from pyloader.demo.model import NextByteModel

__all__ = ["Training"]


class Training:
    """A model in training.

    Attributes:
      model: What learns.
      times_received: uint8 array of shape [num_epochs, num_samples]: how often each epoch has learned from each id.
      epoch: The epoch that it is in, counted from 0.
      loss: The loss of late, in nats a byte: an average over about 50 batches.
      seconds: How long the loop took, waiting for data included, as far as noted.
      wait_seconds: How much of it the loop waited for data.
      resident_peak: The most chunks' worth of rows that were in memory at once.
    """

    def __init__(self, *, num_epochs: int, num_samples: int) -> None:
        self.model = NextByteModel()
        self.times_received = np.zeros((num_epochs, num_samples), np.uint8)
        self.epoch = 0
        self.loss = math.nan
        self.seconds = 0.0
        self.wait_seconds = 0.0
        self.resident_peak = 0.0

    def learn(self, batch: dict[str, np.ndarray]) -> None:
        """Take one step."""
        np.add.at(self.times_received[self.epoch], batch["id"], 1)
        loss = self.model.train_step(batch["context"], batch["target"])
        self.loss = loss if math.isnan(self.loss) else self.loss + 0.02 * (loss - self.loss)

    def run_epoch(self, loader: DataLoader, *, max_steps: int | None = None) -> None:
        """Learn from what is left of the loader's epoch, or from `max_steps` batches of it."""
        steps = len(loader)
        bar = tqdm(
            desc=f"            epoch {self.epoch + 1}",
            total=steps,
            initial=loader.steps_done % steps,
            unit=" batches",
            disable=None,
            leave=False,
        )
        with bar:
            for step, batch in enumerate(loader, start=1):
                self.learn(batch)
                bar.set_postfix_str(f"loss {self.loss:.2f}", refresh=False)
                bar.update()
                if step == max_steps:
                    break
            else:
                self.epoch += 1

    @property
    def samples_per_second(self) -> float:
        """How many samples were learned from in a second."""
        return float(self.times_received.sum()) / self.seconds

    def received_once(self, *, but: np.ndarray) -> bool:
        """Tell whether each epoch has learned exactly once from each sample, and from none of the ids in `but`."""
        expected = np.ones(self.times_received.shape[1], np.uint8)
        expected[but] = 0
        return bool((self.times_received == expected).all())

    def note(self, loader: DataLoader) -> None:
        """Add what the loader says about itself, before it is closed."""
        stats = loader.stats()
        self.seconds += stats.loop_seconds
        self.wait_seconds += stats.wait_seconds
        self.resident_peak = max(self.resident_peak, stats.resident_peak)
