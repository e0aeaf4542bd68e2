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
