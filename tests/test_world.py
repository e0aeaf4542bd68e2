"""World: given, or found out from what the program has set up, and from nothing else."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pyloader import World


@pytest.fixture(autouse=True)
def nothing_is_set_up(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("torch.distributed", "jax"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def torch_distributed(*, available=True, initialized=True):
    return SimpleNamespace(
        is_available=lambda: available,
        is_initialized=lambda: initialized,
        get_rank=lambda: 3,
        get_world_size=lambda: 4,
    )


def jax(*, initialized=True):
    def may_be_asked():
        assert initialized, "asking starts the devices"
        return 8

    distributed = SimpleNamespace(is_initialized=lambda: initialized)
    return SimpleNamespace(distributed=distributed, process_index=lambda: 5, process_count=may_be_asked)


def test_a_process_is_alone_unless_something_says_otherwise():
    assert World.detect() == World(0, 1)


def test_torch_is_asked_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.distributed", torch_distributed())
    monkeypatch.setitem(sys.modules, "jax", jax())
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert World.detect() == World(3, 4)


@pytest.mark.parametrize("torch", [torch_distributed(available=False), torch_distributed(initialized=False), None])
def test_jax_is_asked_when_torch_is_not_initialised(monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)
    monkeypatch.setitem(sys.modules, "jax", jax())
    assert World.detect() == World(5, 8)


@pytest.mark.parametrize("jax", [jax(initialized=False), SimpleNamespace(), SimpleNamespace(distributed=None)])
def test_the_environment_is_asked_when_no_framework_is_initialised(monkeypatch, jax):
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert World.detect() == World(1, 2)


@pytest.mark.parametrize(
    "variables", [{"RANK": "1"}, {"WORLD_SIZE": "4"}, {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "LOCAL_RANK": "1"}]
)
def test_half_of_the_variables_and_those_of_slurm_say_nothing(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert World.detect() == World(0, 1)


@pytest.mark.parametrize(("rank", "size"), [("4", "4"), ("-1", "4"), ("0", "0"), ("first", "2"), ("", "")])
def test_variables_that_name_no_rank_are_an_error(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ValueError, match=rf"RANK={rank} and WORLD_SIZE={size}, which name no rank"):
        World.detect()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((2, 2), "rank counts from 0 and must be below size=2, got 2"),
        ((-1, 2), "rank must be at least 0"),
        ((0, 0), "size must be at least 1"),
        ((0, 3, 8), "num_streams=8 cannot be shared evenly by 3 ranks. Write num_streams=6 or 9"),
        ((0, 3, 2), "num_streams=2 cannot be shared evenly by 3 ranks. Write num_streams=3"),
        ((0, 1, 0), "num_streams must be at least 1"),
    ],
)
def test_numbers_that_make_no_world_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        World(*numbers)


def test_numpy_integers_become_those_that_a_state_can_be_written_with():
    world = World(np.int64(1), np.uint8(2), np.int32(4))
    assert [type(number) for number in (world.rank, world.size, world.num_streams)] == [int] * 3


def test_what_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="size must be an integer, got '2'"):
        World(0, "2")


def mesh_of(processes, *axis_names, me=0):
    """Return what looks like a jax.sharding.Mesh, of devices that belong to these processes."""
    devices = np.empty(np.shape(processes), object)
    for place, process in np.ndenumerate(processes):
        devices[place] = SimpleNamespace(process_index=int(process))
    mine = [device for device in devices.flat if device.process_index == me]
    return SimpleNamespace(devices=devices, axis_names=axis_names, local_devices=mine)


@pytest.mark.parametrize(
    ("processes", "ranks"),
    [
        ([[0, 0], [0, 0], [1, 1], [1, 1]], [0, 1]),
        ([[1, 1], [0, 0]], [1, 0]),  # where the devices stand decides, not the process's number
        ([[0, 1], [0, 1], [2, 3], [2, 3]], [0, 0, 1, 1]),  # two processes hold a model together
        ([[0, 0], [1, 1], [0, 0], [1, 1]], [0, 1]),  # they take turns
        ([[0, 1, 2]], [0, 0, 0]),
    ],
)
def test_the_rank_on_a_mesh_is_the_place_along_its_data_axis(processes, ranks):
    found = [World.of_mesh(mesh_of(processes, "data", "model", me=process)) for process in range(len(ranks))]
    assert found == [World(rank, max(ranks) + 1) for rank in ranks]
    turned = [World.of_mesh(mesh_of(np.transpose(processes), "model", "data", me=p)) for p in range(len(ranks))]
    assert turned == found


def test_a_batch_can_be_cut_along_several_axes_of_a_mesh():
    cube = [[[0, 1], [0, 1]], [[2, 3], [2, 3]]]
    along = {axes: World.of_mesh(mesh_of(cube, "a", "b", "c", me=2), axes) for axes in ("a", "b", "c", ("a", "c"))}
    assert along == {"a": World(1, 2), "b": World(0, 1), "c": World(0, 2), ("a", "c"): World(2, 4)}


@pytest.mark.parametrize("processes", [[[0, 0], [0, 1], [1, 1]], [[0], [0], [1]]])
def test_a_mesh_whose_processes_overlap_in_part_or_have_unequal_parts_is_refused(processes):
    with pytest.raises(ValueError, match="unequal parts, or parts in common: process 0 at "):
        World.of_mesh(mesh_of(processes, "data", "model"))


def test_a_mesh_without_the_axis_or_without_a_device_of_this_process_is_refused():
    with pytest.raises(ValueError, match=r"no axis 'batch'; it has 'data'\. Write data_axis_name='data'"):
        World.of_mesh(mesh_of([0, 1], "data"), "batch")
    with pytest.raises(ValueError, match=r"no device in the mesh, whose devices are those of process 0, 1\."):
        World.of_mesh(mesh_of([0, 1], "data", me=2))
