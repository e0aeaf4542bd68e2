"""How often the verdict of `stats()` is right: runs whose bottleneck was put there.

    python benchmarks/verdicts.py [--runs 100] [--seed 0] [--seconds 1.5] [--kind NAME]

Each run draws its times from the seed: of the bottleneck, of the loop's own step, workers, readers, window.  Counted is
how often `bound_by` names the stage, and how often `holds_lock` says rightly, wrongly, or not at all whether the
interpreter's lock (the GIL) is what that stage waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyloader import DataLoader, DataReader, Dataset
from pyloader.observe import ChunkStats

SERVER = Path(__file__).resolve().parents[1] / "tests" / "support" / "store_server.py"
ROWS, BATCH = 64, 16  # of a chunk, of a batch
NUM_CHUNKS = 24


def burn(seconds: float) -> None:
    """Work in Python, which holds the interpreter's lock."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(number * number for number in range(50))


def sort(seconds: float) -> None:
    """Work in NumPy, which lets go of the lock."""
    end, numbers = time.perf_counter() + seconds, np.random.default_rng(0).random(30_000)
    while time.perf_counter() < end:
        np.sort(numbers)


def wait(seconds: float) -> None:
    """Wait as for a disk, a server or an accelerator."""
    time.sleep(seconds)


class SlowReader(DataReader):
    """Reads chunks that hold nothing, slowly."""

    def __init__(self, work: Callable[[float], None], seconds: float) -> None:
        super().__init__()
        self.work, self.seconds = work, seconds

    def read_file(self, path: str) -> tuple[dict[str, Any], int]:
        if self.seconds:
            self.work(self.seconds)
        return {"x": np.arange(ROWS)}, ROWS


class ColdReader(DataReader):
    """Reads chunks that the system no longer has in memory, from a disk of a given speed."""

    def __init__(self, bytes_per_second: float) -> None:
        super().__init__()
        self.bytes_per_second = bytes_per_second

    def read_file(self, path: str) -> tuple[dict[str, Any], int]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            data = os.read(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
        wait(len(data) / self.bytes_per_second)
        return {"x": np.arange(ROWS)}, ROWS


class SlowDataset(Dataset):
    """Encodes batches slowly."""

    def __init__(self, work: Callable[[float], None], seconds: float) -> None:
        self.work, self.seconds = work, seconds

    def batch_encode(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.work(self.seconds)
        return batch


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run with a bottleneck: what the loader gets, how long the loop's own step is, and what is to be said."""

    options: dict[str, Any]
    step_seconds: float
    stage: str
    holds_lock: bool | None = None


def slow_read(draw: random.Random, work: Callable[[float], None]) -> Case:
    """Reading takes longer than the loop's steps of a chunk."""
    seconds = draw.uniform(0.01, 0.05)
    options = {"datareader": SlowReader(work, seconds), "num_readers": 1 if work is burn else draw.choice([1, 2])}
    step = draw.uniform(0, 0.4) * seconds * BATCH / ROWS / options["num_readers"]
    return Case(options=options, step_seconds=step, stage="read", holds_lock=work is burn)


def cold_disk(draw: random.Random) -> Case:
    """Chunks come from a disk, at 5 to 20 MB/s."""
    rate = draw.uniform(5e6, 20e6)
    step = draw.uniform(0, 0.4) * 2**18 / rate * BATCH / ROWS
    return Case(options={"datareader": ColdReader(rate)}, step_seconds=step, stage="read", holds_lock=False)


def slow_encode(draw: random.Random, work: Callable[[float], None]) -> Case:
    """Encoding takes longer than the loop's step."""
    seconds, num_workers = draw.uniform(0.005, 0.03), draw.choice([1, 2])
    options = {"dataset": SlowDataset(work, seconds), "num_workers": num_workers}
    step = draw.uniform(0, 0.4) * seconds / num_workers
    return Case(options=options, step_seconds=step, stage="encode", holds_lock=work is burn)


def slow_loop(draw: random.Random) -> Case:
    """The loop's own step takes longer than all else."""
    options = {"dataset": SlowDataset(sort, 0.001), "datareader": SlowReader(wait, 0.001)}
    return Case(options=options, step_seconds=draw.uniform(0.006, 0.02), stage="")


def small_queue(draw: random.Random) -> Case:
    """Encoding is a little faster than the loop, but may not work ahead; chunks mixed take all of the queue."""
    step, window = draw.uniform(0.01, 0.02), draw.choice([2, 4])
    mixed = 2 * window - 1
    options = {
        "dataset": SlowDataset(draw.choice([sort, wait]), draw.uniform(0.4, 0.8) * step),
        "shuffle_window": window,
        "max_queue_size": draw.choice([mixed, window + 1]),
    }
    return Case(options=options, step_seconds=step, stage="queue")


KINDS: dict[str, Callable[[random.Random], Case]] = {
    "slow read, Python": lambda draw: slow_read(draw, burn),
    "slow read, NumPy": lambda draw: slow_read(draw, sort),
    "slow encode, Python": lambda draw: slow_encode(draw, burn),
    "slow encode, NumPy": lambda draw: slow_encode(draw, sort),
    "slow encode, waits": lambda draw: slow_encode(draw, wait),
    "slow loop": slow_loop,
    "small queue": small_queue,
    "cold disk": cold_disk,
}
NETWORK = "slow network"
NEARLY_ALL = 0.9, 0.97  # from the first on a loop may be said not to wait, from the second on it must be


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the loader says of a run, and the share of the run that the loop's own steps took."""

    stats: ChunkStats
    own_share: float

    def is_right(self, stage: str) -> bool:
        """Tell whether the stage is named.  Of a loop whose steps came to take nearly all the time, none is."""
        said = self.stats.bound_by.replace("start", "")  # only the first batch was waited for
        keeps_lock = self.stats.waiting_share < 0.05 and any(self.stats.holds_lock.values())
        named = said == stage and (self.own_share < NEARLY_ALL[1] or keeps_lock)
        return named or (said == "" and self.own_share > NEARLY_ALL[0])


def run(case: Case, seconds: float, **where: Any) -> Outcome:
    """Let a loop go for so many seconds."""
    options = {"batch_size": BATCH, "shuffle": True, "shuffle_window": 1, "num_epochs": None, "world": None}
    options |= {"datareader": SlowReader(wait, 0.0)}
    with DataLoader(**{**options, **where, **case.options}) as loader:
        own, end = 0.0, time.perf_counter() + seconds
        for _ in loader:
            begun = time.perf_counter()
            wait(case.step_seconds)
            own += (now := time.perf_counter()) - begun
            if now > end:
                break
        stats = loader.stats()
    return Outcome(stats, own / (stats.loop_seconds or 1.0))


@contextmanager
def slow_server(directory: Path, bytes_per_second: float) -> Iterator[str]:
    """Serve a directory from a process of its own; give its address."""
    command = [sys.executable, str(SERVER), str(directory), "--rate", str(bytes_per_second)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None, "the server did not start"
        yield found[0].rstrip("/")
    finally:
        server.stdin.close()  # it ends then
        server.wait()
        server.stdout.close()


def run_network(draw: random.Random, seconds: float, directory: Path, number: int) -> tuple[Case, Outcome]:
    """Let a loop go whose chunks come from a slow server, each of them once."""
    rate = draw.uniform(1e6, 5e6)
    case = Case(options={"datareader": SlowReader(wait, 0.0)}, step_seconds=0.0005, stage="fetch")
    with slow_server(directory, rate) as url:
        cache = directory.parent / f"cache-{number}"
        place = {"data_dir": "s3://chunks", "cache_dir": cache, "cache_bytes": "1GB", "num_epochs": 1}
        keys = {"endpoint": url, "region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}
        return case, run(case, seconds, **place, storage_options=keys)


def main() -> None:
    """Run, and print the counts."""
    parser = argparse.ArgumentParser(description="Count how often verdicts are right")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each run")
    parser.add_argument("--kind", action="append", choices=[*KINDS, NETWORK], help="only these")
    arguments = parser.parse_args()
    kinds = arguments.kind or [*KINDS, NETWORK]
    stages: Counter[tuple[str, bool]] = Counter()
    locks: Counter[tuple[str, str]] = Counter()
    num_unnamed = 0  # right, since the loop's own steps came to take nearly all the time
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made) / "served" / "chunks"
        directory.mkdir(parents=True)
        for number in range(NUM_CHUNKS):
            (directory / f"chunk-{number:03}.slow").write_bytes(bytes(2**18))
        for number in range(arguments.runs):
            kind, draw = kinds[number % len(kinds)], random.Random(f"{arguments.seed} {number}")
            if kind == NETWORK:
                case, outcome = run_network(draw, arguments.seconds, directory.parent, number)
            else:
                case = KINDS[kind](draw)
                outcome = run(case, arguments.seconds, data_dir=str(directory / "*.slow"))
            stats, is_right = outcome.stats, outcome.is_right(case.stage)
            stages[kind, is_right] += 1
            num_unnamed += is_right and stats.bound_by != case.stage
            said = stats.holds_lock.get("read" if case.stage == "read" else "batch")
            if case.holds_lock is not None and stats.bound_by == case.stage:
                locks[kind, "unsaid" if said is None else "right" if said == case.holds_lock else "wrong"] += 1
            if not is_right or (case.holds_lock is not None and said != case.holds_lock):
                about = {"kind": kind, "number": number, "said": stats.bound_by, "lock": stats.holds_lock}
                busy = {stage: round(seconds, 3) for stage, seconds in stats.busy_seconds.items()}
                about |= {
                    "own": round(outcome.own_share, 2),
                    "waiting": round(stats.waiting_share, 2),
                    "busy": busy,
                    "room": round(stats.room_seconds, 2),
                }
                print(json.dumps({**about, "seconds": round(stats.loop_seconds, 2)}), flush=True)
    print(f"{'':22} stage right   lock right, unsaid, wrong")
    for kind in kinds:
        right, total = stages[kind, True], stages[kind, True] + stages[kind, False]
        found = ", ".join(str(locks[kind, word]) for word in ("right", "unsaid", "wrong"))
        print(f"{kind:22} {right:3} of {total:3}    {found}")
    total = sum(stages.values())
    print(f"stage named in {sum(count for (_, right), count in stages.items() if right)} of {total} runs; ", end="")
    said = {
        word: sum(count for (_, each), count in locks.items() if each == word) for word in ("right", "unsaid", "wrong")
    }
    print(f"the lock rightly in {said['right']} of {sum(locks.values())}, wrongly in {said['wrong']}")
    print(f"{num_unnamed} of these runs rightly had no stage: the loop's own steps came to take nearly all their time")


if __name__ == "__main__":
    main()
