"""Mixtures of sources in stores: what they read next is known to the cache, as of one source."""

from __future__ import annotations

import contextlib
from itertools import chain, zip_longest

import numpy as np
import pytest
from mixed_sources import write_sources
from store_server import StoreServer

from pyloader import DataLoader, World
from pyloader.files.cache.identity import room_of_files
from pyloader.plan import START, bytes_fetched

SIZES = {"web": (320, 10), "code": (160, 10), "maths": (60, 10)}
SHARES = {"web": 0.3, "code": 0.5, "maths": 0.2}


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def places(server, tmp_path):
    """The sources by name, two of them in the store."""
    on_disk = write_sources(tmp_path / "sources", SIZES)
    for name in ("web", "code"):
        server.put_directory(on_disk[name], f"bucket/{name}")
    return {"web": "s3://bucket/web", "code": "s3://bucket/code", "maths": on_disk["maths"]}


def fetches(server):
    return sum(count for name, count in server.requests.items() if "chunk-" in name and name.startswith("GET"))


@pytest.mark.slow
def test_a_bounded_cache_fetches_for_a_mixture_what_beladys_rule_fetches(server, places, tmp_path):
    num_ranks = 2
    room = max(room_of_files(object.data.stat().st_size) for name, object in server.objects.items() if "chunk" in name)
    bound = 15 * room  # of 48 in the store
    given = {"shuffle": True, "shuffle_window": 1, "num_workers": 0, "weights": SHARES, "batch_size": 4}
    given |= {"on_exhausted": "repeat", "num_steps": 150, "last_batch": "drop", "cache_bytes": bound}
    given |= {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache", "num_epochs": 1}
    with contextlib.ExitStack() as stack:
        loaders = [
            stack.enter_context(DataLoader(data_dir=places, world=World(rank, num_ranks), **given))
            for rank in range(num_ranks)
        ]
        reads = [
            [task.chunk for task in loader._options.run.streams.read_tasks(start=START, end_epoch=1)]
            for loader in loaders
        ]
        for _ in zip(*loaders, strict=True):
            pass
    stored = np.array([not name.startswith("maths/") for name in loaders[0]._options.run.chunks.names])
    merged = [chunk for chunk in chain.from_iterable(zip_longest(*reads)) if chunk is not None and stored[chunk]]
    sizes = np.where(stored, 1, 0)
    pinned = 2 * num_ranks + 2  # what is read and fetched at once, and the plans
    best = bytes_fetched(np.array(merged), sizes, here=~stored, bound=bound // room - pinned)
    assert stored.sum() <= fetches(server) <= 1.03 * best


@pytest.mark.slow
def test_a_mixture_says_what_it_will_fetch_and_notes_what_its_cache_holds(server, places, tmp_path):
    given = {"storage_options": server.s3_options, "cache_dir": tmp_path / "cache", "log_dir": tmp_path / "log"}
    with DataLoader(data_dir=places, batch_size=20, shuffle=True, weights=SHARES, num_steps=20, **given) as loader:
        planned = loader.plan()
        for _ in loader:
            pass
        assert loader.metrics()["fetched_bytes"] == planned.fetched_bytes == planned.cache_bytes > 0
        assert planned.fetched_bytes < planned.read_bytes, "a source lies on a disk"
    (log,) = (tmp_path / "log").iterdir()
    assert '"cache_bytes":' in log.read_text()
