"""Packed mixtures are audited by the pieces of each source, over kills, other ranks and other weights."""

from __future__ import annotations

import numpy as np
import pytest
from products import examples, seeds
from ranks import through_json

from pyloader import ChunkWriter, DataLoader, Packing, World
from pyloader.audit import audit_sources
from pyloader.files import list_chunks
from pyloader.run.units import units_of_order

NAMES = ("long", "short", "tiny")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root, chance = tmp_path_factory.mktemp("packed"), np.random.default_rng(3)
    for name, count, mean in zip(NAMES, (70, 90, 3), (2.2, 1.0, 1.0), strict=True):
        with ChunkWriter(root / name, chunk_samples=25, format="columns") as writer:
            for _ in range(count):
                writer.write({"tokens": np.ones(int(min(60, chance.lognormal(mean, 1) + 1)), np.uint16)})
    return {name: root / name for name in NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(examples(6)))
def test_each_piece_of_a_source_came_once_an_epoch_of_it(places, tmp_path, seed):
    chance = np.random.default_rng(seed)
    options = {"data_dir": places, "on_exhausted": "repeat", "num_steps": 30, "num_workers": 0, "audit_dir": tmp_path}
    options |= {"pack": Packing(length=16, max_documents=chance.choice([None, 4])), "shuffle": bool(chance.integers(2))}
    options |= {"seed": int(chance.integers(99))}
    state = None
    for size, steps in zip(chance.permutation([1, 2, 4]).tolist(), (7, 11, 30), strict=True):
        options["weights"] = {name: int(chance.integers(1, 9)) for name in NAMES}
        loaders = [DataLoader(batch_size=8 // size, world=World(rank, size, 4), **options) for rank in range(size)]
        for loader in loaders if state else []:
            loader.load_state_dict(state)
        for _ in range(min(steps, 30 - (state or {"steps_done": 0})["steps_done"])):
            for loader in loaders:
                next(loader)
            state = through_json(loaders[0].state_dict())
        for loader in loaders[: size // 2]:  # some are ahead when the run is stopped
            next(loader, None)
        for loader in loaders:
            loader.close()
    audit = audit_sources(tmp_path, {name: list_chunks(place) for name, place in places.items()}, units_of_order)
    assert audit.is_good
    assert {each.source for each in audit.sources} == set(NAMES)
    for each in audit.sources:
        assert (each.delivered == each.num_samples) == (each.state == "complete")
