"""Ranks as processes of their own: plain ones, torch.distributed, jax.distributed."""

from __future__ import annotations

import json
import os

import pytest
from ranks import global_batches, rank_loaders, write_counted

from scripts import free_port, run_beside

COUNTS = [30, 0, 17, 1, 44, 23, 8, 60, 5, 1]
OPTIONS = {"batch_size": 6, "shuffle": True, "last_batch": "drop", "num_epochs": 2}

# A process is told its rank, how many there are, a free port, the chunks, and the loader's options.
SCRIPT = """
import json, logging, sys
from numbered import NumberedReader
from pyloader import DataLoader

rank, size, port = map(int, sys.argv[1:4])
{begin}
logging.basicConfig(level=logging.INFO, format="%(message)s")
with DataLoader(NumberedReader(), data_dir=sys.argv[4], **json.loads(sys.argv[5])) as loader:
    batches = [batch["id"].tolist() for batch in loader]
    print(json.dumps([batches, loader.state_dict()]))
{end}
"""

TORCH = """
import torch.distributed
where = f"tcp://127.0.0.1:{port}"
torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=size)
"""

JAX = """
import jax
jax.config.update("jax_platforms", "cpu")
jax.distributed.initialize(f"127.0.0.1:{port}", size, rank)
"""


def run_ranks(directory, size, *, begin="", end="", variables=None):
    """Run the script as so many processes, and return what each printed and logged."""
    port, script = free_port(), SCRIPT.format(begin=begin, end=end)
    others = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    commands, environments = [], []
    for rank in range(size):
        commands.append(["-c", script, *map(str, (rank, size, port, directory)), json.dumps(OPTIONS)])
        environments.append(others | ({"RANK": str(rank), "WORLD_SIZE": str(size)} if variables is None else variables))
    answers = run_beside(commands, environments)
    return [(*json.loads(printed.splitlines()[-1]), logged) for printed, logged in answers]


def check_ranks(directory, size, source, **how):
    """Assert that the processes have the batches that the ranks have in one process, and say who they are."""
    answers = run_ranks(directory, size, **how)
    batches, states, logs = zip(*answers, strict=True)
    whole = [[number for batch in met for number in batch] for met in zip(*batches, strict=True)]
    assert whole == global_batches(rank_loaders(directory, size, **OPTIONS))
    assert all(state == states[0] for state in states)
    num_dropped = sum(COUNTS) % (6 * size)
    for rank, logged in enumerate(logs):
        steps = len(batches[0]) // 2
        assert f"rank {rank} of {size} ({source}), {steps} steps an epoch, {num_dropped} samples dropped" in logged


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_processes_that_are_told_by_rank_and_world_size(tmp_path, size):
    check_ranks(write_counted(tmp_path, COUNTS), size, "RANK, WORLD_SIZE")


@pytest.mark.frameworks
@pytest.mark.parametrize("size", [2, 4])
def test_processes_of_torch_distributed(tmp_path, size):
    pytest.importorskip("torch")
    end = "torch.distributed.destroy_process_group()"
    directory = write_counted(tmp_path, COUNTS)
    check_ranks(directory, size, "torch.distributed", begin=TORCH, end=end, variables={})


@pytest.mark.frameworks
@pytest.mark.parametrize("size", [2, 4])
def test_processes_of_jax_distributed(tmp_path, size):
    pytest.importorskip("jax")
    directory = write_counted(tmp_path, COUNTS)
    check_ranks(directory, size, "jax.distributed", begin=JAX, end="jax.distributed.shutdown()", variables={})
