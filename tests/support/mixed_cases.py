"""Mixtures drawn at random: sources, weights and ends, streams, and runs that stop and go on."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mixed_sources import mixed_ranks, step_of_all

SIZES = {"web": (151, 30), "code": (90, 9), "math": (40, 40), "wiki": (23, 2), "tiny": (3, 3), "uneven": (64, 11)}


@dataclass
class Case:
    """A mixture, and how it is read."""

    random: random.Random
    names: list[str]
    num_streams: int
    sizes: list[int]  # numbers of ranks
    share: int
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def drawn(cls, seed: int, places: dict[str, Path]) -> Case:
        """Return a case that a seed decides, of sources as `SIZES` has them."""
        chance = random.Random(seed)
        num_streams = chance.choice([1, 1, 2, 3, 4, 6])
        names = chance.sample(list(places), chance.randint(1, len(places)))
        rule = chance.choice(["stop", "drop", "repeat"])
        if rule != "repeat":
            names = [name for name in names if SIZES[name][0] >= num_streams] or ["web"]
        shuffle = chance.random() < 0.7
        last_batch = chance.choice(["drop", "pad", "wrap", *(["keep"] if num_streams == 1 else [])])
        options: dict[str, Any] = {
            "data_dir": {name: places[name] for name in names},
            "weights": weights_of(chance, names),
            "on_exhausted": rule,
            "num_steps": chance.randint(1, 60) if rule == "repeat" or chance.random() < 0.3 else None,
            "last_batch": last_batch,
            "shuffle": shuffle,
            "seed": chance.randrange(2**40),
            "num_workers": chance.choice([0, 0, 1]),
        }
        if shuffle and chance.random() < 0.5:
            options["shuffle_window"] = chance.choice([1, 3, {name: chance.randint(1, 5) for name in names}])
            options["max_queue_size"] = 1000
        sizes = [size for size in range(1, num_streams + 1) if num_streams % size == 0]
        return cls(chance, names, num_streams, sizes, chance.choice([1, 2, 3, 7]), options)

    def ranks(self, size: int, **options: Any) -> Any:
        """Give the loaders of so many ranks."""
        return mixed_ranks(size, self.num_streams, share=self.share, **self.options, **options)


def weights_of(chance: random.Random, names: list[str]) -> Any:
    """Return weights of sources: none, some, or a schedule of them."""

    def drawn() -> dict[str, float]:
        found = {name: chance.choice([0, 1, 2, 5, round(chance.random(), 3), chance.random()]) for name in names}
        return found if any(found.values()) else dict.fromkeys(names, 1)

    kind = chance.random()
    if kind < 0.2:
        return None
    return drawn() if kind < 0.7 else [(step, drawn()) for step in sorted(chance.sample(range(40), 3))]


def run_drawn(case: Case) -> list[dict[str, np.ndarray]]:
    """Return the batches over all ranks, over runs that stop and go on on other numbers of ranks, or further back."""
    batches: list[dict[str, np.ndarray]] = []
    states: list[dict[str, Any]] = []
    is_over = False
    while not is_over:
        with case.ranks(case.random.choice(case.sizes)) as loaders:
            if states:
                done = len(states) - case.random.choice([0, 0, 1, 4])
                if done > 0:
                    batches, states = batches[:done], states[:done]
                for loader in loaders:
                    loader.load_state_dict(states[-1])
            until = case.random.choice([1, 3, 20, 1000])
            for _ in range(until):
                if (batch := step_of_all(loaders)) is None:
                    is_over = True
                    break
                batches.append(batch)
                texts = {json.dumps(loader.state_dict()) for loader in loaders}
                assert len(texts) == 1, "the states of two ranks differ"
                states.append(json.loads(texts.pop()))
    return batches
