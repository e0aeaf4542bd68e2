"""docs/coming-from-loadax.md, row by row: what is written there and what is written here do the same.

The right column always runs; the left one where loadax is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pages import check_each_row_is_shown, module_if_there, note_in, table_rows

from pyloader import indexed
from pyloader.indexed import Batcher, DataLoader, DataLoaderBuilder, RangeDataset

SHOWN: dict[str, Callable[..., None]] = {}
SHARDING: dict[str, Callable[..., None]] = {}


row = note_in(SHOWN)


@pytest.fixture
def loadax() -> Any:
    return module_if_there("loadax")


def all_of(theirs: Any) -> list[Any]:
    """Return the batches of a loader of loadax, and end its threads, which it keeps itself from being collected by."""
    batches = iter(theirs)
    found = list(batches)
    batches.executor.shutdown()
    return found


@row("`DataLoader(batcher).batch_size(2)`")
def test_a_builder_gives_the_same_batches(loadax):
    mine = list(DataLoaderBuilder(Batcher(list)).batch_size(2).build(RangeDataset(0, 10)))
    assert mine == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    if loadax:
        builder = loadax.DataloaderBuilder(loadax.Batcher(list)).batch_size(2)
        assert all_of(builder.build(loadax.RangeDataset(0, 10))) == mine


@row("`Dataloader(ds, batch_size=2, drop_last=True)`")
def test_a_loader_without_a_builder_gives_lists_and_begins_anew():
    options = {"shuffle": False, "num_epochs": 1, "last_batch": "drop", "starts_over": True, "transform": list}
    loader = DataLoader(RangeDataset(1, 6), batch_size=2, **options)
    for batch in loader:
        assert batch == [1, 2]
        break
    assert list(loader) == [[1, 2], [3, 4]]


@row("`PartialDataset.split_dataset(ds, n)`")
def test_a_dataset_is_split_into_parts_that_are_together_the_whole(loadax):
    mine = [list(part) for part in indexed.PartialDataset.split(RangeDataset(0, 9), 3)]
    assert [list(part) for part in indexed.PartialDataset.split_dataset(RangeDataset(0, 9), 3)] == mine
    if loadax:
        parts = loadax.PartialDataset.split(loadax.RangeDataset(0, 9), 3)
        assert [[part.get(index) for index in range(len(part))] for part in parts] == mine


@row("`ds.split_dataset_by_node(4, 0)`")
def test_a_part_for_a_node_is_named():
    assert list(RangeDataset(0, 8).split_dataset_by_node(rank=0, world_size=4)) == [0, 1]


@row("`HuggingFaceDataset.from_hub(")
def test_code_from_the_hub_is_not_run():
    datasets = pytest.importorskip("datasets")
    with pytest.raises(TypeError, match=r"from_hub runs no code.*HuggingFaceDataset\(dataset\)"):
        indexed.HuggingFaceDataset.from_hub("path", split="train", trust_remote_code=True)
    assert indexed.HuggingFaceDataset(datasets.Dataset.from_dict({"x": [1, 2]}))[1] == {"x": 2}


@row("`loader.num_items()`, `loader.num_batches()`")
def test_items_and_batches_are_counted(loadax):
    dataset = RangeDataset(0, 10)
    mine = len(dataset), len(DataLoaderBuilder(Batcher(list)).batch_size(2).build(dataset))
    assert mine == (10, 5)
    if loadax:
        builder = loadax.DataloaderBuilder(loadax.Batcher(list)).batch_size(2)
        loader = builder.build(loadax.RangeDataset(0, 10))
        assert (loader.num_items(), loader.num_batches()) == mine


@row("`Batcher(fn, device=...)`")
def test_a_batcher_batches(loadax):
    assert Batcher(sum).batch([1, 2]) == 3
    if loadax:
        assert loadax.Batcher(sum, device=None).batch([1, 2]) == 3


@row("the planned PolarsDataset and SQLiteDataset")
def test_what_was_planned_is_there():
    assert issubclass(indexed.PolarsDataset, indexed.Dataset)
    assert issubclass(indexed.SQLiteDataset, indexed.Dataset)


@row('`.shard(mesh, data_axis_name="data")`', SHARDING)
def test_contiguous_parts_are_written_with_shard_of_the_dataset(loadax):
    builder, dataset = DataLoaderBuilder(Batcher(list)).batch_size(3), RangeDataset(0, 11)
    parts = [dataset.shard(rank=rank, world_size=2, drop_remainder=False) for rank in range(2)]
    assert [list(builder.build(part)) for part in parts] == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10]]]
    shares = [list(builder.shard((rank, 2)).build(dataset)) for rank in range(2)]
    assert shares == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 5]]]
    assert [list(builder.shard((rank, 2)).last_batch("drop").build(dataset)) for rank in range(2)] == [
        [[0, 1, 2]],
        [[3, 4, 5]],
    ]
    if loadax:
        mesh, _ = loadax.ddp_sharding()
        theirs = loadax.DataloaderBuilder(loadax.Batcher(list)).batch_size(3)
        part = theirs.shard(mesh, num_shards=2, shard_id=1).build(loadax.RangeDataset(0, 11))
        assert all_of(part) == [[6, 7, 8], [9, 10]]


@row("`strategy.get_shard_indices(size, shard_id, num_shards)`", SHARDING)
def test_boundaries_of_shards_are_the_same(loadax):
    mine = [range(*indexed.compute_shard_boundaries(3, part, 9)) for part in range(3)]
    assert mine == [range(3), range(3, 6), range(6, 9)]
    if loadax:
        strategy = loadax.DistributedShardingStrategy(loadax.ddp_sharding()[0])
        assert [list(strategy.get_shard_indices(9, part, 3)) for part in range(3)] == [list(part) for part in mine]


@row("`NoShardingStrategy()`", SHARDING)
def test_without_shards_nothing_is_said():
    assert list(DataLoaderBuilder(Batcher(list)).batch_size(2).build(RangeDataset(0, 2))) == [[0, 1]]


@row("`loader.sharding_strategy.distribute_global_batch(local_batch)`", SHARDING)
@row('`strategy.named_sharding("data", None)`', SHARDING)
def test_local_batches_become_one_global_array(loadax):
    jax = pytest.importorskip("jax")
    import numpy as np

    from pyloader.jax import MeshShard

    rows = np.arange(8.0).reshape(4, 2)
    shard = MeshShard(jax.make_mesh((1, 1), ("data", "model")), data_axis_name="data")
    mine = shard.distribute_global_batch(rows)
    np.testing.assert_array_equal(mine, rows)
    assert shard.named_sharding("data", None).spec == jax.sharding.PartitionSpec("data", None)
    if loadax:
        strategy = loadax.DistributedShardingStrategy(loadax.fsdp_sharding()[0], data_shard_axis="data")
        np.testing.assert_array_equal(strategy.distribute_global_batch(jax.numpy.asarray(rows)), mine)
        assert strategy.named_sharding("data", None).spec == shard.named_sharding("data", None).spec


@row("`ddp_sharding()`, `fsdp_sharding()`", SHARDING)
@row("`make_fsdp_mesh_config(names).batch_axis_names`", SHARDING)
@row("`len(shape)` of a `HybridMeshShape`", SHARDING)
def test_meshes_have_the_same_names_and_axes(loadax):
    pytest.importorskip("jax")
    from pyloader import jax as ours

    for name in (
        "MeshConfig",
        "HybridMeshShape",
        "make_ddp_mesh_config",
        "host_to_global_device_array",
        "DataPartitionType",
    ):
        assert hasattr(ours, name)
    assert ours.infer_mesh_shape((-1, 2), num_devices=8) == (4, 2)
    assert ours.make_fsdp_mesh_config(("a", "b")).batch_axis_names == ("a", "b")
    assert ours.make_fsdp_mesh_config(("data", "b"), batch_axis_names="data").batch_axis_names == "data"
    assert len(ours.HybridMeshShape((1, 4), (2, 1))) == 2
    for preset in ("ddp_sharding", "fsdp_sharding"):
        mesh, names = getattr(ours, preset)()
        if loadax and preset == "fsdp_sharding":
            theirs, their_names = loadax.fsdp_sharding()
            assert (dict(theirs.shape), their_names) == (dict(mesh.shape), names)


@row("`with mesh: host_to_global_device_array(tree)`", SHARDING)
@row("`global_to_host_array(tree, partition=...)`", SHARDING)
@row("`mesh_rules=`, `mesh_selector=`", SHARDING)
@row("`create_device_mesh`, `create_hybrid_device_mesh`", SHARDING)
def test_arrays_go_to_devices_and_back():
    jax = pytest.importorskip("jax")
    import numpy as np

    from pyloader.jax import MeshConfig, global_to_host_array, host_to_global_device_array

    shapes = {"laptop": (-1,), "pod": (64, 4)}
    mesh = MeshConfig(mesh_shape=shapes["laptop"], mesh_axis_names=("data",)).create_device_mesh()
    tree = {"x": np.arange(8.0)}
    placed = host_to_global_device_array(tree, mesh=mesh)
    np.testing.assert_array_equal(global_to_host_array(placed)["x"], tree["x"])
    with jax.set_mesh(mesh):
        np.testing.assert_array_equal(host_to_global_device_array(tree)["x"], tree["x"])
    assert all(map(callable, (jax.make_mesh, jax.lax.with_sharding_constraint, jax.tree_util.tree_flatten_with_path)))


def test_every_row_of_the_page_is_shown():
    check_each_row_is_shown(table_rows("coming-from-loadax.md", "What to write instead"), SHOWN)
    check_each_row_is_shown(table_rows("coming-from-loadax.md", "Sharding"), SHARDING)
