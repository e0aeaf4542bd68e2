"""Programs that end while a loader is open, at every stage: forks of one start, which exit as programs do.

Run as a script: python exits.py KIND DIRECTORY NUMBER [SECONDS].  It prints how often which exit code came.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numbered import NumberedReader, write_chunks

import pyloader.indexed
from pyloader import DataLoader, Dataset
from scripts import free_port

STAGES = ("fresh", "begun", "left", "waiting", "failed", "finished", "in a cycle", "in another thread")
KINDS = ("threads", "inline", "processes", "items", "torch", "torch prefetch", "jax prefetch", "torch ranks, left up")
KINDS += ("torch ranks",)


def stages_of(kind):
    """Return the stages at which a program of this kind may end."""
    # A thread of the program's own that is inside JAX when the interpreter ends aborts it: 34 of 40 programs with
    # nothing but jax.device_put in a daemon thread did (JAX 0.10, Python 3.11).
    return STAGES[:-1] if kind.startswith("jax") else STAGES


class Slow(Dataset):
    """The loop goes on without having the batches that are being made; the sixth fails, or takes for ever."""

    def __init__(self, stage):
        self.stage, self.num_calls = stage, 0

    def batch_encode(self, columns):
        self.num_calls += 1
        if self.num_calls == 6 and self.stage == "failed":
            raise ValueError("the sixth fails")
        if self.num_calls == 6 and self.stage == "waiting":
            time.sleep(0.5)
        return columns


def opened(kind, stage, directory):
    """Return a loader of a kind."""
    if kind == "items":
        rows = np.arange(2000)
        return pyloader.indexed.DataLoader({"id": rows}, batch_size=10, num_workers=2, num_epochs=1)
    options = {"batch_size": 10, "shuffle": True, "num_workers": 2, "num_readers": 2, "world": None}
    if kind == "inline":
        options["num_workers"] = 0
    if kind == "processes":
        options |= {"worker_kind": "process", "num_workers": 1, "num_readers": 1}
    if kind.startswith("torch"):
        torch = importlib.import_module("pyloader.torch")
        options["datacollator"] = torch.TorchDataCollator()
    loader = DataLoader(NumberedReader(), Slow(stage), data_dir=directory, **options)
    if kind == "torch prefetch":
        return torch.prefetch_to_device(loader, "cpu")
    if kind == "jax prefetch":
        return importlib.import_module("pyloader.jax").prefetch_to_device(loader)
    return loader


def brought_to(stage, loader):
    """Bring a loader to a stage, and return what the program holds when it ends."""
    if stage in ("begun", "waiting", "in a cycle"):
        next(loader)
    if stage == "left":
        for number, _ in enumerate(loader):
            if number == 3:
                break
    if stage in ("failed", "finished"):
        with contextlib.suppress(ValueError):
            list(loader)
    if stage == "in a cycle":
        cycle = [loader]
        cycle.append(cycle)
        return None
    if stage == "in another thread":
        begun = threading.Event()

        def take():
            for _ in loader:
                begun.set()

        threading.Thread(target=take, daemon=True).start()
        begun.wait(10)
    return loader


def join_ranks(rank, port):
    import torch
    import torch.distributed

    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    numbers = torch.ones(3)
    for _ in range(3):
        torch.distributed.all_reduce(numbers)
    return torch.distributed


def program(kind, stage, directory, rank, port):
    """What a program does until it ends; the answer stays until the interpreter has ended."""
    distributed = join_ranks(rank, port) if "ranks" in kind else None
    held = brought_to(stage, opened(kind, stage, directory))
    if distributed is not None:
        distributed.barrier()
        if kind == "torch ranks":
            distributed.destroy_process_group()
    return held


def ending_of(child, seconds):
    """Return a child's exit code, negative for a signal; "hangs" when it has none in time."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    in_time = poll.poll(seconds * 1000)
    os.close(ended)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if in_time else "hangs"


def main(kind, directory, number, seconds):
    """Fork programs, and return in a child what it holds; in the parent print how they ended."""
    endings = collections.Counter()
    for index in range(number):
        stages, port, children = stages_of(kind), 0, []
        stage = stages[index % len(stages)]
        if "ranks" in kind:
            port = free_port()
        for rank in range(2 if "ranks" in kind else 1):
            child = os.fork()
            if child == 0:
                return program(kind, stage, directory, rank, port)
            children.append(child)
        for child in children:
            code = ending_of(child, seconds)
            endings[code] += 1
            if code:
                sys.stderr.write(f"{kind}, {stage}: {code}\n")
    sys.stdout.write(f"{dict(endings)}\n")
    return None


if __name__ == "__main__":
    KIND, DIRECTORY, NUMBER, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), float((*sys.argv, "60")[4])
    if not Path(DIRECTORY).is_dir():
        write_chunks(Path(DIRECTORY), [40] * 20)
    for NAME in ("torch", "jax"):  # before the forks, so that each of them need not
        if KIND.startswith(NAME):
            importlib.import_module(f"pyloader.{NAME}")
            if "ranks" in KIND:
                import torch.distributed  # noqa: F401
    HELD = main(KIND, DIRECTORY, NUMBER, SECONDS)
