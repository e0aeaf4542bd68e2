"""World: which of the data-parallel training processes this process is."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyloader.options import checked_integer

__all__ = ["World", "first_said", "resolve_world", "world_and_source"]

_ANSWER_MS = 10_000  # the longest that the place where ranks meet may take to answer


@dataclass(frozen=True, slots=True)
class World:
    """One of `size` training processes that share an epoch.

    The rank is the data-parallel one: processes that hold parts of the same model (tensor or pipeline parallel) want
    the same batches, and give the same rank.

    >>> World(rank=1, size=4, num_streams=8)
    World(rank=1, size=4, num_streams=8)

    Attributes:
      rank: Which of them, from 0.
      size: How many there are, at least 1.
      num_streams: How many streams an epoch is cut into, a multiple of `size`; None is one for each rank.  A run can
        later go on, with the same batches, on any number of ranks that divides it.

    Raises:
      TypeError, ValueError: a number that makes no sense.
    """

    rank: int
    size: int
    num_streams: int | None = None

    def __post_init__(self) -> None:
        for name, at_least in (("size", 1), ("rank", 0), ("num_streams", 1)):
            if name != "num_streams" or self.num_streams is not None:
                # NumPy's integers become Python's, which states can be written with.
                object.__setattr__(self, name, checked_integer(name, getattr(self, name), at_least=at_least))
        if self.rank >= self.size:
            raise ValueError(f"rank counts from 0 and must be below size={self.size}, got {self.rank}")
        if self.num_streams is not None and self.num_streams % self.size:
            below = self.num_streams // self.size * self.size
            wanted = f"{below} or {below + self.size}" if below else f"{self.size}"
            raise ValueError(
                f"num_streams={self.num_streams} cannot be shared evenly by {self.size} ranks. "
                f"Write num_streams={wanted}"
            )

    @classmethod
    def detect(cls) -> World:
        """Return the world that the training framework or launcher has set up; World(0, 1) if none has.

        Asked in this order, without importing anything: torch.distributed and jax.distributed, when the program has
        initialised them; RANK and WORLD_SIZE, when both are set, as torchrun does.  SLURM's variables say nothing about
        the program: an interactive shell has them too.
        """
        return world_and_source()[0]

    @classmethod
    def of_mesh(cls, mesh: Any, data_axis_name: str | Sequence[str] = "data") -> World:
        """Return the share of a batch that this process loads when JAX cuts batches along axes of a mesh.

        Processes whose devices stand at the same places along those axes have the same rank.

        Args:
          mesh: A jax.sharding.Mesh.
          data_axis_name: The axis, or the axes.

        Raises:
          ValueError: the mesh has no such axis or none of this process's devices, or its processes overlap in part.
        """
        names = (data_axis_name,) if isinstance(data_axis_name, str) else tuple(data_axis_name)
        for name in names:
            if name not in mesh.axis_names:
                axes = ", ".join(map(repr, mesh.axis_names))
                raise ValueError(
                    f"the mesh has no axis {name!r}; it has {axes}. Write data_axis_name={mesh.axis_names[0]!r}"
                )
        places = _places_of_processes(mesh, names)
        if not mesh.local_devices:
            raise ValueError(
                "this process has no device in the mesh, whose devices are those of process "
                f"{', '.join(map(str, sorted(places)))}. Make it of jax.devices(), or load there alone"
            )
        parts = sorted(set(places.values()))
        length = sum(map(len, parts))
        if length > len(set().union(*parts)) or len({*map(len, parts)}) > 1:
            stand = "; ".join(f"process {number} at {list(held)}" for number, held in sorted(places.items()))
            raise ValueError(
                f"along {', '.join(map(repr, names))} the processes have unequal parts, or parts in common: {stand}. "
                "Lay out the mesh so that any two have the same places or none in common"
            )
        return World(parts.index(places[mesh.local_devices[0].process_index]), len(parts))


def world_and_source() -> tuple[World, str]:
    """Return what `World.detect` returns, and who said so; "" if nobody did.

    Raises:
      ValueError: RANK and WORLD_SIZE make no sense.
    """
    return (
        _of_torch(sys.modules.get("torch.distributed"))
        or _of_jax(sys.modules.get("jax"))
        or _of_environment(os.environ)
        or (World(0, 1), "")
    )


def resolve_world(value: Any) -> tuple[World, str]:
    """Return the world that a DataLoader's `world` names, and who said so; "" where this process is alone.

    Raises:
      TypeError, ValueError: it names none.
    """
    if isinstance(value, str) and value == "auto":
        return world_and_source()
    if value is None:
        return World(0, 1), ""
    if isinstance(value, tuple) and len(value) == 2:
        value = World(*value)
    if not isinstance(value, World):
        raise TypeError(f'world must be "auto", None, (rank, size) or a World, got {value!r}')
    return value, "as given"


def first_said(key: str, value: str, source: str) -> str:
    """Return what the first process has said under a key, `value` where this one is the first; nobody waits.

    Args:
      key: What is spoken of.
      value: What this process says of it.
      source: Who said which rank this is: torch.distributed and jax.distributed have a place where this is kept.  What
        others say is not known without one.
    """
    try:
        if source == "torch.distributed":
            store = sys.modules["torch.distributed"].distributed_c10d._get_default_store()
            return bytes(store.compare_set(key, "", value)).decode()
        if source == "jax.distributed":
            client = sys.modules["jax._src.distributed"].global_state.client
            with contextlib.suppress(RuntimeError):  # another process was first
                client.key_value_set(key, value)
            return str(client.blocking_key_value_get(key, _ANSWER_MS))
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError):
        pass  # another version of the library, or a place that cannot compare
    return value


def _of_torch(distributed: Any) -> tuple[World, str] | None:
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return World(distributed.get_rank(), distributed.get_world_size()), "torch.distributed"


def _of_jax(jax: Any) -> tuple[World, str] | None:
    # Asked only once it is initialised: process_count would choose and start the devices.
    is_initialized = getattr(getattr(jax, "distributed", None), "is_initialized", None)
    if is_initialized is None or not is_initialized():
        return None
    return World(jax.process_index(), jax.process_count()), "jax.distributed"


def _of_environment(environment: Mapping[str, str]) -> tuple[World, str] | None:
    if not {"RANK", "WORLD_SIZE"} <= environment.keys():
        return None
    rank, size = environment["RANK"], environment["WORLD_SIZE"]
    try:
        return World(int(rank), int(size)), "RANK, WORLD_SIZE"
    except ValueError as exc:
        raise ValueError(
            f"the environment has RANK={rank} and WORLD_SIZE={size}, which name no rank ({exc}). "
            "Set both, or neither, or give world="
        ) from exc


def _places_of_processes(mesh: Any, names: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Return where each process's devices stand along axes of a mesh, counted row by row over several."""
    axes = [mesh.axis_names.index(name) for name in names]
    devices = np.moveaxis(mesh.devices, axes, range(len(axes)))
    by_place = devices.reshape(math.prod(devices.shape[: len(axes)]), -1)
    places: dict[int, list[int]] = {}
    for place, across in enumerate(by_place):
        for process in {device.process_index for device in across}:
            places.setdefault(process, []).append(place)
    return {process: tuple(held) for process, held in places.items()}
