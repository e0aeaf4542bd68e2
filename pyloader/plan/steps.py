"""Steps: how many batches an epoch has, by the rule for its last batch."""

from __future__ import annotations

__all__ = ["LAST_BATCH_RULES", "steps_per_epoch"]

LAST_BATCH_RULES = ("keep", "drop", "pad", "wrap")


def steps_per_epoch(num_samples: int, batch_size: int, last_batch: str) -> int:
    """Return how many batches `num_samples` make: rounded down when the short last batch is dropped, else up."""
    if last_batch == "drop":
        return num_samples // batch_size
    return -(-num_samples // batch_size)
