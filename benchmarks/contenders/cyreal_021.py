"""cyreal 0.2.1: pure JAX over arrays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from cyreal.loader import DataLoader
from cyreal.sources import ArraySource
from cyreal.transforms import BatchTransform
from workloads import Data


def epochs(data: Data) -> Iterator[Any]:
    arrays = {"image": np.array(data.array("image")), "label": data.array("label").astype(np.int32)}
    loader = DataLoader([ArraySource(arrays), BatchTransform(batch_size=data.batch_size, pad_last_batch=True)])
    step = jax.jit(loader.next)
    key = jax.random.key(0)
    while True:
        key, state_key = jax.random.split(key)
        yield _epoch(step, loader.init_state(state_key), loader.steps_per_epoch)


def _epoch(step: Callable[[Any], Any], state: Any, num_steps: int) -> Iterator[Any]:
    for _ in range(num_steps):
        batch, state, mask = step(state)
        mask = np.asarray(mask)
        ids = np.asarray(batch["label"])
        yield batch["image"], ids if mask.all() else ids[mask]
