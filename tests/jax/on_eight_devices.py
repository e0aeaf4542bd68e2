"""Run by test_devices.py, in a process of its own whose JAX has eight devices: meshes, shards, and what goes wrong."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numbered import loader_of, write_chunks
from ranks import write_counted

from pyloader import ChunkWriter, World
from pyloader.jax import (
    DataPartitionType,
    HybridMeshShape,
    MeshConfig,
    MeshShard,
    ddp_sharding,
    fsdp_sharding,
    global_to_host_array,
    host_to_global_device_array,
    infer_mesh_shape,
    make_ddp_mesh_config,
    make_fsdp_mesh_config,
    make_hybrid_mesh_config,
    place_batch,
    prefetch_to_device,
)

PAGE = Path(__file__).parents[2] / "docs" / "jax-devices.md"
ROWS = np.arange(16 * 3, dtype=np.float32).reshape(16, 3)


def mesh_of(shape: tuple[int, ...], *names: str) -> Mesh:
    return Mesh(np.array(jax.devices()).reshape(shape), names)


def rows_by_device(array: Any) -> dict[int, list[float]]:
    """Return the first column of what each device has."""
    return {shard.device.id: np.asarray(shard.data)[:, 0].tolist() for shard in array.addressable_shards}


def test_a_loaders_batches_are_cut_among_the_devices(tmp_path: Path) -> None:
    write_chunks(tmp_path, [40, 40])
    sharding = NamedSharding(mesh_of((8,), "data"), P("data"))
    with prefetch_to_device(loader_of(tmp_path, batch_size=16), sharding=sharding) as batches:
        for step, batch in enumerate(batches):
            assert batch["id"].sharding == batch["row"].sharding == sharding
            assert batch["id"].tolist() == list(range(16 * step, 16 * step + 16))
            assert rows_by_device(batch["row"])[7] == [16 * step + 14, 16 * step + 15]
    assert step == 4


def test_an_epochs_short_last_batch_that_cannot_be_cut_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    write_chunks(tmp_path, [20])
    sharding = NamedSharding(mesh_of((8,), "data"), P("data"))
    batches = prefetch_to_device(loader_of(tmp_path, batch_size=16), sharding=sharding)
    assert next(batches)["id"].shape == (16,)
    with pytest.raises(
        ValueError, match=r"batch\['id'\] of shape \(4,\) cannot be cut.*last_batch=\"drop\" or \"pad\""
    ):
        next(batches)
    padded = prefetch_to_device(loader_of(tmp_path, batch_size=16, last_batch="pad"), sharding=sharding)
    assert [int(batch["mask"].sum()) for batch in padded] == [16, 4]


def test_shardings_are_given_by_name_by_function_or_by_device() -> None:
    mesh = mesh_of((4, 2), "data", "model")
    by_rows, by_both = NamedSharding(mesh, P("data")), NamedSharding(mesh, P("data", "model"))
    square = ROWS[:, :2]
    batch = {"image": {"left": square, "right": square}, "label": ROWS[:, 0], "text": ["a"] * 16}

    by_name = place_batch(batch, {"image": by_both, "label": None, "text": None})
    assert by_name["image"]["left"].sharding == by_name["image"]["right"].sharding == by_both
    assert by_name["label"].devices() == {jax.devices()[0]}
    by_function = place_batch(batch, lambda array: by_both if array.ndim == 2 else by_rows)
    assert (by_function["image"]["left"].sharding, by_function["label"].sharding) == (by_both, by_rows)
    assert place_batch(batch, jax.devices()[5])["label"].devices() == {jax.devices()[5]}
    for placed in (by_name, by_function):
        np.testing.assert_array_equal(placed["image"]["right"], square)
        assert placed["text"] is batch["text"]


def test_a_name_that_a_dict_of_shardings_leaves_out_is_said() -> None:
    sharding = NamedSharding(mesh_of((8,), "data"), P("data"))
    with pytest.raises(ValueError, match=r"it has 'id', and the batch has 'id', 'mask'\. Give an entry for each"):
        place_batch({"id": ROWS, "mask": ROWS}, {"id": sharding})


def test_what_is_no_place_for_an_array_is_said() -> None:
    mesh = mesh_of((8,), "data")
    for place in (MeshShard(mesh), P("data"), "cpu", {"x": 3}):
        with pytest.raises(
            TypeError, match=r"batch\['x'\] cannot go to .*: sharding takes a jax.Device, or a Sharding"
        ):
            place_batch({"x": ROWS}, place)


def test_every_python_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for part, num_samples in (("train", 2000), ("val", 300)):
        with ChunkWriter(f"chunks/{part}", chunk_samples=500) as writer:
            for number in range(num_samples):
                writer.write({"id": number, "image": np.full((4, 4), number, np.float32), "label": number % 10})
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 3
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)


def test_a_batch_that_shares_the_hosts_memory_is_kept_alive_by_its_parts_alone() -> None:
    memory = np.empty(8 * 64 * 4 + 64, np.uint8)
    unused = sys.getrefcount(memory)
    aligned = memory[-memory.ctypes.data % 64 :][: 8 * 64 * 4].view(np.float32).reshape(8, 64)
    aligned[:] = 1
    placed = place_batch(aligned, NamedSharding(mesh_of((8,), "data"), P("data")))
    aligned[:] = 2
    assert float(placed[3, 3]) == 2, "JAX made a copy: this test shows nothing"
    last = placed.addressable_shards[7].data
    del placed, aligned
    gc.collect()
    assert sys.getrefcount(memory) > unused
    assert np.asarray(last).tolist() == [[2] * 64]
    del last
    gc.collect()
    assert sys.getrefcount(memory) == unused


@pytest.mark.parametrize(
    ("shape", "names", "data_axes", "parts"),
    [((8,), ("data",), "data", 8), ((4, 2), ("data", "model"), "data", 4), ((2, 2, 2), ("a", "b", "c"), ("c", "a"), 4)],
)
def test_one_process_has_all_of_a_mesh(shape: Any, names: Any, data_axes: Any, parts: int) -> None:
    shard = MeshShard(mesh_of(shape, *names), data_axes)
    assert (shard.rank, shard.size) == (0, 1)
    array = shard.distribute_global_batch({"x": ROWS})["x"]
    assert array.shape == (16, 3)
    held = rows_by_device(array)
    assert sorted({rows[0] for rows in held.values()}) == ROWS[:: 16 // parts, 0].tolist()
    np.testing.assert_array_equal(global_to_host_array({"x": array})["x"], ROWS)


def test_the_axes_of_several_data_axes_count_in_the_order_given() -> None:
    mesh = mesh_of((2, 4), "slow", "fast")
    held = rows_by_device(MeshShard(mesh, ("fast", "slow")).distribute_global_batch(ROWS))
    assert [held[device][0] // 3 for device in (0, 4, 1, 5)] == [0, 2, 4, 6]


def test_a_mesh_shard_is_the_world_of_a_loader(tmp_path: Path) -> None:
    write_counted(tmp_path, [30, 20])
    shard = MeshShard(mesh_of((8,), "data"))
    assert isinstance(shard, World)
    with loader_of(tmp_path, batch_size=16, last_batch="drop", world=shard) as loader:
        sums = jax.jit(lambda x: x.sum())
        totals = [float(sums(shard.distribute_global_batch(batch)["id"])) for batch in loader]
    assert totals == [sum(range(start, start + 16)) for start in (0, 16, 32)]
    assert repr(shard) == "MeshShard(rank=0, size=1, mesh={'data': 8}, data_axis_name='data')"


def test_an_axis_that_the_mesh_does_not_have_is_said() -> None:
    with pytest.raises(ValueError, match=r"no axis 'batch'; it has 'data', 'model'\. Write data_axis_name='data'"):
        MeshShard(mesh_of((4, 2), "data", "model"), "batch")


def test_rows_that_the_devices_cannot_share_are_said() -> None:
    for place in (MeshShard(mesh_of((8,), "data")).distribute_global_batch, over_all):
        with pytest.raises(ValueError, match=r"batch\['x'\] of shape \(12, 3\) cannot be cut evenly"):
            place({"x": ROWS[:12]})


def over_all(tree: Any) -> Any:
    return host_to_global_device_array(tree, mesh=mesh_of((4, 2), "data", "model"))


def test_host_arrays_go_over_all_devices_or_to_each() -> None:
    with jax.set_mesh(mesh_of((4, 2), "data", "model")):
        full = host_to_global_device_array({"x": ROWS, "text": ["a"]})
        replicated = host_to_global_device_array(ROWS, partition=DataPartitionType.REPLICATED)
    assert [rows_by_device(full["x"])[device][0] // 3 for device in range(8)] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert all(len(rows) == 16 for rows in rows_by_device(replicated).values())
    for array in (full["x"], replicated):
        np.testing.assert_array_equal(global_to_host_array(array), ROWS)
    assert global_to_host_array(full)["text"] == ["a"]


def test_without_a_mesh_there_is_nothing_to_cut_for(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"there is no mesh: give mesh=, or call it within `with jax.set_mesh\(mesh\):`"
    with pytest.raises(ValueError, match=message):
        host_to_global_device_array(ROWS)
    monkeypatch.delattr(jax.sharding, "get_mesh", raising=False)  # as in older versions
    with pytest.raises(ValueError, match=message):
        host_to_global_device_array(ROWS)
    assert host_to_global_device_array(ROWS, mesh=mesh_of((8,), "data")).shape == (16, 3)


@pytest.mark.parametrize(
    "spec", [P(), P("data"), P("model"), P("data", "model"), P("model", "data"), P(("data", "model")), P(None, "data")]
)
def test_a_global_array_comes_back_whole_however_it_is_cut(spec: P) -> None:
    values = np.arange(32, dtype=np.int32).reshape(8, 4)
    array = jax.device_put(values, NamedSharding(mesh_of((4, 2), "data", "model"), spec))
    np.testing.assert_array_equal(global_to_host_array(array), values)
    assert global_to_host_array(jax.numpy.float32(3)).shape == ()


def test_the_presets_lay_out_all_devices() -> None:
    for (mesh, names), shape in ((ddp_sharding(), (8,)), (fsdp_sharding(), (1, 8))):
        assert mesh.devices.shape == shape
        assert mesh.axis_names == names
        assert {device.id for device in mesh.devices.flat} == set(range(8))
    assert make_ddp_mesh_config(("data", "model")).create_device_mesh().devices.shape == (8, 1)
    assert make_ddp_mesh_config().create_device_mesh(jax.devices()[:4]).devices.shape == (4,)
    assert make_fsdp_mesh_config().batch_axis_names == ("data", "model")
    hybrid = make_hybrid_mesh_config((2, -1), (1, 1)).create_device_mesh()
    assert dict(hybrid.shape) == {"data": 2, "model": 4}


def test_a_step_over_a_ddp_mesh_is_the_step_over_one_device() -> None:
    mesh, _ = ddp_sharding()
    batch, weights = MeshShard(mesh).distribute_global_batch(ROWS), np.ones(3, np.float32)
    gradient = jax.jit(jax.grad(lambda w, x: ((x @ w) ** 2).mean()))
    np.testing.assert_allclose(gradient(weights, batch), gradient(weights, ROWS), rtol=1e-5)


def test_a_mesh_shape_is_made_out() -> None:
    assert infer_mesh_shape((2, -1), num_devices=8) == (2, 4)
    assert infer_mesh_shape((8, 1), num_devices=8) == (8, 1)
    for shape, match in (
        ((3, -1), r"8 devices cannot be laid out as \(3, -1\), which needs a multiple of 3"),
        ((2, 2), r"8 devices cannot be laid out as \(2, 2\), which needs 4"),
        ((-1, -1), "at most one -1"),
        ((0, -1), "sizes of at least 1"),
    ):
        with pytest.raises(ValueError, match=match):
            infer_mesh_shape(shape, num_devices=8)


def test_a_mesh_config_that_contradicts_itself_is_said() -> None:
    with pytest.raises(ValueError, match="mesh_shape has 2 axes, and mesh_axis_names has 'data'"):
        MeshConfig(mesh_shape=(2, 4), mesh_axis_names=("data",))
    with pytest.raises(ValueError, match="batch_axis_names has 'batch', and the mesh has 'data'"):
        MeshConfig(mesh_shape=(8,), mesh_axis_names=("data",), batch_axis_names="batch")
    with pytest.raises(ValueError, match="must have as many axes: write 1 where"):
        HybridMeshShape(ici_mesh_shape=(2,), dcn_mesh_shape=(2, 1))


def test_shapes_and_configs_take_positions_and_tell_their_axes_and_hosts() -> None:
    shape = HybridMeshShape((1, 4), (2, 1))
    assert shape == HybridMeshShape(ici_mesh_shape=(1, 4), dcn_mesh_shape=(2, 1))
    assert len(shape) == 2
    config = MeshConfig((2, 4), ("data", "model"))
    assert config.create_device_mesh().shape == {"data": 2, "model": 4}
    assert (config.hosts, config.host_id) == (1, 0)
    assert len(MeshConfig(shape, ("data", "model")).mesh_shape) == 2
    assert make_fsdp_mesh_config().batch_axis_names == ("data", "model")  # each device has rows of its own
    assert make_fsdp_mesh_config(batch_axis_names="data").batch_axis_names == "data"
