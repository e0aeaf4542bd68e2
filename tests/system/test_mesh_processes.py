"""Two JAX processes with four devices each: each loads its part, and no row moves between them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ranks import rank_loaders, write_counted

from scripts import free_port, run_beside

pytestmark = pytest.mark.frameworks

# A process is told its rank, how many there are, a free port and the chunks.
SCRIPT = """
import json, sys
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from numbered import NumberedReader
from pyloader import DataLoader
from pyloader.jax import (DataPartitionType, MeshShard, fsdp_sharding, ddp_sharding, global_to_host_array,
                          host_to_global_device_array, make_hybrid_mesh_config, prefetch_to_device)

jax.config.update("jax_platforms", "cpu")
rank, size, port = map(int, sys.argv[1:4])
jax.distributed.initialize(f"127.0.0.1:{port}", size, rank)
devices = np.array(sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))
total = jax.jit(lambda x: (x.sum(), (x * np.arange(1, len(x) + 1)).sum()))


def facts(mesh, axes="data"):
    shard = MeshShard(mesh, axes)
    options = dict(batch_size=8, shuffle=True, last_batch="drop", world=shard)
    with DataLoader(NumberedReader(), data_dir=sys.argv[4], **options) as loader:
        local = [batch["id"] for batch in loader]
    batches = prefetch_to_device(DataLoader(NumberedReader(), data_dir=sys.argv[4], **options), sharding=shard.sharding)
    shape, totals, whole = None, [], True
    for mine, batch in zip(local, batches, strict=True):
        array = batch["id"]
        shape = array.shape
        whole &= np.array_equal(global_to_host_array(array), mine)
        totals.append([int(number) for number in total(array)])
    return {"rank": shard.rank, "size": shard.size, "local": [ids.tolist() for ids in local], "shape": shape,
            "totals": totals, "whole": bool(whole), "state": batches.state_dict()}


def message(act):
    try:
        act()
    except ValueError as exc:
        return str(exc)
    return "no error"


answer = {
    "rows": facts(Mesh(devices, ("data",))),
    "grid": facts(Mesh(devices.reshape(2, 4), ("data", "model"))),
    "both": facts(Mesh(devices.reshape(2, 4), ("data", "model")), ("data", "model")),
    "turns": facts(Mesh(devices.reshape(2, 4).T.reshape(8), ("data",))),
    "replicas": facts(Mesh(devices.reshape(2, 4), ("model", "data"))),
    "fsdp": facts(fsdp_sharding()[0]),
    "ddp": facts(ddp_sharding()[0]),
    "hybrid": [facts(mesh)["rank"] for mesh in [make_hybrid_mesh_config((2, 2), (2, 1)).create_device_mesh()]],
    "alone": message(lambda: MeshShard(Mesh(devices[:4], ("data",)))),
    "overlap": message(lambda: MeshShard(Mesh(devices.reshape(2, 4)[:, [0, 1, 2]].reshape(3, 2), ("data", "model")))),
    "uneven": message(lambda: MeshShard(Mesh(devices, ("data",))).distribute_global_batch(np.zeros(6))),
}
mesh = Mesh(devices.reshape(2, 4), ("data", "model"))
mine = np.arange(8) + 100 * rank
full = host_to_global_device_array(mine, mesh=mesh)
same = host_to_global_device_array(np.arange(3), mesh=mesh, partition=DataPartitionType.REPLICATED)
answer["full"] = [full.shape, global_to_host_array(full).tolist(), [int(number) for number in total(full)]]
answer["same"] = [same.shape, global_to_host_array(same).tolist()]
print(json.dumps(answer))
jax.distributed.shutdown()
"""

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_counted(tmp_path_factory.mktemp("chunks"), COUNTS)


@pytest.fixture(scope="module")
def answers(chunks: Path) -> list[dict[str, Any]]:
    """What each of two processes found."""
    pytest.importorskip("jax")
    port, environment = free_port(), {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    commands = [["-c", SCRIPT, str(rank), "2", str(port), str(chunks)] for rank in range(2)]
    return [json.loads(printed.splitlines()[-1]) for printed, _ in run_beside(commands, [environment] * 2)]


def of_all(batch: list[int]) -> list[int]:
    """Return what the script's `total` makes of a batch over all processes."""
    return [sum(batch), sum(place * number for place, number in enumerate(batch, start=1))]


@pytest.mark.parametrize("layout", ["rows", "grid", "both", "fsdp", "ddp"])
def test_each_process_loads_its_half_and_the_halves_are_the_global_batch(
    layout: str, answers: list[dict[str, Any]], chunks: Path
) -> None:
    found = [answer[layout] for answer in answers]
    loaders = rank_loaders(chunks, 2, batch_size=8, shuffle=True, last_batch="drop")
    assert [facts["local"] for facts in found] == [[batch["id"].tolist() for batch in loader] for loader in loaders]
    assert [(facts["rank"], facts["size"], facts["shape"], facts["whole"]) for facts in found] == [
        (0, 2, [16], True),
        (1, 2, [16], True),
    ]
    wholes = [of_all(first + second) for first, second in zip(found[0]["local"], found[1]["local"], strict=True)]
    assert found[0]["totals"] == found[1]["totals"] == wholes
    assert found[0]["state"] == found[1]["state"]


def test_processes_whose_devices_take_turns_along_the_axis_keep_their_rows(answers: list[dict[str, Any]]) -> None:
    first, second = (answer["turns"] for answer in answers)
    assert first["whole"] and second["whole"]
    assert (first["rank"], second["rank"], first["shape"]) == (0, 1, [16])
    for mine, theirs, totals in zip(first["local"], second["local"], first["totals"], strict=True):
        pairs = [[mine[at : at + 2], theirs[at : at + 2]] for at in range(0, 8, 2)]
        assert totals == of_all([number for pair in pairs for half in pair for number in half])


def test_processes_at_the_same_places_are_replicas_and_load_the_same(answers: list[dict[str, Any]]) -> None:
    first, second = (answer["replicas"] for answer in answers)
    assert first == second
    assert (first["rank"], first["size"], first["shape"], first["whole"]) == (0, 1, [8], True)
    assert first["totals"] == [of_all(batch) for batch in first["local"]]


def test_a_hybrid_mesh_joins_the_processes_along_its_slow_axis(answers: list[dict[str, Any]]) -> None:
    assert [answer["hybrid"] for answer in answers] == [[0], [1]]


def test_a_mesh_without_devices_of_a_process_is_refused_there(answers: list[dict[str, Any]]) -> None:
    assert answers[0]["alone"] == "no error"
    assert "this process has no device in the mesh, whose devices are those of process 0." in answers[1]["alone"]


def test_a_mesh_whose_processes_overlap_in_part_is_refused(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        assert "process 0 at [0, 1]; process 1 at [1, 2]. Lay out the mesh so that" in answer["overlap"]


def test_rows_that_the_devices_of_a_process_cannot_share_are_said(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        assert "batch of shape (6,) cannot be cut evenly" in answer["uneven"]


def test_host_arrays_become_global_ones_and_come_back(answers: list[dict[str, Any]]) -> None:
    everything = [*range(8), *range(100, 108)]
    for rank, answer in enumerate(answers):
        assert answer["full"] == [[16], everything[8 * rank : 8 * rank + 8], of_all(everything)]
        assert answer["same"] == [[3], [0, 1, 2]]
