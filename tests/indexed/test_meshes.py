"""Shards by mesh: processes along the data axis share each batch; those that hold one model get the same."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pyloader import World
from pyloader.indexed import Batcher, DataLoaderBuilder, RangeDataset


def mesh(processes, axis_names=("data", "model"), *, me=0):
    """A mesh as jax.sharding.Mesh is one, of devices that belong to these processes."""
    devices = np.empty(np.shape(processes), object)
    for place, process in np.ndenumerate(processes):
        devices[place] = SimpleNamespace(process_index=int(process))
    mine = [device for device in devices.flat if device.process_index == me]
    return SimpleNamespace(devices=devices, axis_names=axis_names, local_devices=mine)


def test_the_axis_is_the_one_named_else_data_else_the_first():
    def first_batch(axis_names, name=None):
        crossed = mesh([[0, 1], [0, 1]], axis_names, me=1)
        builder = DataLoaderBuilder(Batcher(list)).batch_size(2).shard(crossed, name)
        with builder.build(RangeDataset(0, 20)) as loader:
            return next(iter(loader))

    assert first_batch(("data", "model")) == [0, 1]
    assert first_batch(("data", "model"), "model") == [2, 3]
    assert first_batch(("model", "data")) == [2, 3]
    assert first_batch(("x", "y")) == [0, 1]
    with pytest.raises(ValueError, match="the mesh has no axis 'batch'; it has 'data', 'model'"):
        first_batch(("data", "model"), "batch")


def test_a_builder_takes_a_mesh_a_world_and_what_is_like_one():
    builder = DataLoaderBuilder(Batcher(list)).batch_size(2)
    for world in (
        mesh([[0], [1], [2]], me=1),
        World(1, 3),
        (1, 3),
        SimpleNamespace(rank=1, size=3),
    ):
        with builder.shard(world).build(RangeDataset(0, 20)) as loader:
            assert next(iter(loader)) == [2, 3]
            assert len(loader) == 4
    with builder.shard(mesh([[0], [1]]), "data", 3, 2).build(RangeDataset(0, 20)) as loader:
        assert next(iter(loader)) == [4, 5]


def test_built_loaders_are_alone_until_they_are_sharded(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with DataLoaderBuilder(Batcher(list)).batch_size(2).build(RangeDataset(0, 4)) as loader:
        assert list(loader) == [[0, 1], [2, 3]]


@pytest.mark.frameworks
def test_a_mesh_of_jax_is_one():
    jax = pytest.importorskip("jax")
    devices = np.array(jax.devices()).reshape(-1, 1)
    builder = DataLoaderBuilder(Batcher(list)).batch_size(2).shard(jax.sharding.Mesh(devices, ("data", "model")))
    with builder.build(RangeDataset(0, 4)) as loader:
        assert list(loader) == [[0, 1], [2, 3]]
