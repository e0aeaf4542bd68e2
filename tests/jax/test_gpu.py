"""Batches on a GPU: all arrive whole though the host's memory is used again, and no step waits for the host."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyloader import ChunkWriter, DataLoader, NumpyReader

jax = pytest.importorskip("jax")
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU"),
]

import jax.numpy as jnp  # noqa: E402

from pyloader.jax import ChunkSource, prefetch_to_device  # noqa: E402
from pyloader.jax import DataLoader as JitLoader  # noqa: E402

CHUNKS, CHUNK_ROWS, BATCH, WIDTH = 8, 1024, 128, 1024  # a batch has 512 kB: its memory is recycled


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of float32 that tell, in every number, which sample they are of."""
    directory = tmp_path_factory.mktemp("gpu") / "chunks"
    with ChunkWriter(directory, chunk_samples=CHUNK_ROWS) as writer:
        for number in range(CHUNKS * CHUNK_ROWS):
            writer.write({"id": number, "row": np.arange(WIDTH, dtype=np.float32) + number})
    return directory


def loader_of(chunks: Path, *, mmap: bool = False, **options: Any) -> DataLoader:
    options = {"batch_size": BATCH, "shuffle": True, "num_epochs": 2, **options}
    return DataLoader(NumpyReader(mmap=mmap), data_dir=chunks, **options)


def ids_of(batches: Iterable[Any]) -> list[int]:
    return [number for batch in batches for number in np.asarray(batch["id"]).tolist()]


@jax.jit
def long_step(weights: Any, ids: Any, rows: Any) -> tuple[Any, Any]:
    """Return new weights after a millisecond or so, and how many numbers of a batch are not those of its samples."""
    weights = jax.lax.fori_loop(0, 100, lambda _, w: jnp.tanh(w @ w), weights)
    wanted = ids[:, None].astype(jnp.float32) + jnp.arange(WIDTH, dtype=jnp.float32)
    return weights, (rows != wanted + 0 * weights[0, 0]).sum()


class Loop:
    """A training loop that never waits for the GPU."""

    def __init__(self) -> None:
        self._weights, self._wrong, self._ids = jnp.full((512, 512), 0.01), [], []

    def run(self, batches: Iterable[Any]) -> None:
        """Take a step on each batch, and keep none but its ids."""
        for batch in batches:
            assert batch["row"].devices() == {jax.devices("gpu")[0]}
            self._weights, wrong = long_step(self._weights, batch["id"], batch["row"])
            self._wrong.append(wrong)
            self._ids.append(batch["id"])
            del batch

    def ids(self) -> list[int]:
        """Return the samples seen, in order, having checked that all their numbers were right."""
        assert sum(map(int, self._wrong)) == 0
        return [number for ids in self._ids for number in np.asarray(ids).tolist()]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"shuffle_window": 1},
        {"shuffle_window": 4, "num_workers": 2},
        {"shuffle_window": 8, "num_workers": 0},
        {"mmap": True, "shuffle_window": 1, "num_workers": 2},
        {"copy": False},
        {"worker_kind": "process", "num_workers": 2},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_every_batch_arrives_whole_while_the_gpu_is_behind(chunks, size: int, options: dict[str, Any]) -> None:
    loop = Loop()
    with prefetch_to_device(loader_of(chunks, **options), size) as batches:
        loop.run(batches)
    assert loop.ids() == ids_of(loader_of(chunks, **options))


def test_batches_that_are_kept_stay_what_they_were(chunks) -> None:
    loop = Loop()
    with prefetch_to_device(loader_of(chunks)) as batches:
        kept = list(batches)
    loop.run(kept)
    assert loop.ids() == ids_of(loader_of(chunks))


def test_a_loop_that_ends_with_copies_on_their_way_goes_on_exactly(chunks) -> None:
    everything = ids_of(loader_of(chunks))
    for steps in (0, 1, 63, 64, 65):
        loop = Loop()
        killed = prefetch_to_device(loader_of(chunks), 3)
        loop.run(itertools.islice(killed, steps))
        state = json.loads(json.dumps(killed.state_dict()))
        killed.close()  # the GPU is still at it
        with prefetch_to_device(loader_of(chunks), 3) as resumed:
            resumed.load_state_dict(state)
            loop.run(itertools.islice(resumed, 10))
        assert loop.ids() == everything[: (steps + 10) * BATCH]


def test_compiled_code_on_a_gpu_gets_the_loaders_batches(chunks) -> None:
    def collect(wrong: Any, batch: Any, mask: Any) -> tuple[Any, Any]:
        _, more = long_step(jnp.zeros((8, 8)), batch["id"], batch["row"])
        return wrong + more, batch["id"]

    wanted = ids_of(loader_of(chunks))
    with JitLoader([ChunkSource(loader_of(chunks, num_epochs=None))]) as loader:
        state = loader.init_state(0)
        scan = jax.jit(lambda state, wrong: loader.scan_epoch(state, wrong, collect))
        ids = []
        wrong = jnp.int32(0)
        for _ in range(2):
            state, wrong, more = scan(state, wrong)
            ids += np.concatenate(more).tolist()
        next_ids = []
        step = jax.jit(loader.next)
        for _ in range(10):
            batch, state, _ = step(state)
            next_ids += batch["id"].tolist()
    assert int(wrong) == 0
    assert ids == wanted
    assert next_ids == ids_of(itertools.islice(loader_of(chunks, num_epochs=None), 128, 138))
