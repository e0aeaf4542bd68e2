"""Measuring one case, in a process of its own: `python benchmarks/measuring.py '{"contender": ...}'` prints JSON.

Every batch is touched in the same way (the first number of each sample is added up), and its samples' ids are taken.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from contenders import CONTENDERS
from making import forget_files, read_files
from workloads import Data, make

__all__ = ["chunks_per_batch", "private_bytes"]

WARM_SECONDS = 0.3
_NO_ID = -1


def main() -> None:
    """Measure the case that the command line describes."""
    case = json.loads(sys.argv[1])
    data = make(case["workload"], tiny=case["tiny"])
    contender = importlib.import_module(f"contenders.{case['contender']}")  # brings its framework with it
    most = CONTENDERS[case["contender"]].most_samples.get(case["workload"], data.num_samples)
    data = replace(data, num_samples=min(data.num_samples, most))
    if hasattr(contender, "prepare"):
        contender.prepare(data)
    if case.get("only_make"):
        return
    epochs: Callable[..., Iterator[Any]] = contender.epochs
    recorder = _Recorder(data)
    read_files(data.root)
    before = private_bytes(os.getpid())
    print(json.dumps({"ready": before}), flush=True)
    if case["workload"].endswith("cold"):
        forget_files(data.root)
        found = measure_once(epochs(data, **case["options"]), recorder, case["seconds"])
    else:
        found = measure_steadily(epochs(data, **case["options"]), recorder, case["seconds"])
    found |= {"num_samples": data.num_samples, "mixing": recorder.mixing()}
    print(json.dumps({"measured": True}), flush=True)
    if case["check"]:
        found["coverage"] = coverage(contender, case)
    print(json.dumps(found), flush=True)
    os._exit(0)  # some loaders' threads never end


def measure_steadily(epochs: Iterator[Any], recorder: _Recorder, seconds: float) -> dict[str, float]:
    """Measure epoch after epoch: from a moment after the first batch, for so long."""
    begun = time.perf_counter()
    first = since = counted = 0.0
    total = 0
    for number, epoch in enumerate(epochs):
        for values, ids in epoch:
            total += recorder.take(values, ids, keep=number == 0)
            now = time.perf_counter()
            if not first:
                first = now
            elif not since:
                if now - first >= WARM_SECONDS:
                    since, counted = now, total
            elif now - since >= seconds:
                return {"rate": (total - counted) / (now - since), "first_batch_seconds": first - begun}
    raise RuntimeError("the contender came to an end")


def measure_once(epochs: Iterator[Any], recorder: _Recorder, seconds: float) -> dict[str, float]:
    """Measure one epoch from its very beginning, or as much of it as comes within ten times so long."""
    begun = time.perf_counter()
    first, total = 0.0, 0
    for values, ids in next(epochs):
        total += recorder.take(values, ids, keep=True)
        now = time.perf_counter()
        first = first or now
        if now - begun > 10 * seconds:
            break
    return {"rate": total / (time.perf_counter() - begun), "first_batch_seconds": first - begun}


def coverage(contender: Any, case: dict[str, Any]) -> str:
    """Return what one epoch over the tiny data delivered: "once" where it was every sample once."""
    data = make(case["workload"], tiny=True)
    if hasattr(contender, "prepare"):
        contender.prepare(data)
    counts = np.zeros(data.num_samples, np.int64)
    epochs = contender.epochs(data, **case["options"])  # to be kept: it closes its loader when it goes
    for _, ids in next(epochs):
        np.add.at(counts, np.asarray(ids).reshape(-1), 1)
    missing, repeated = int((counts == 0).sum()), int((counts - 1).clip(0).sum())
    if not missing and not repeated:
        return "once"
    return f"{missing / data.num_samples:.1%} missing, {repeated / data.num_samples:.1%} repeated"


class _Recorder:
    """Touches batches, and keeps the ids of some; its memory is taken before the loader's is measured."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._ids = np.full(min(data.num_samples, 500_000) + 2 * data.batch_size, _NO_ID, np.int32)
        self._sizes: list[int] = []
        self._end = 0
        self.touched = 0.0

    def take(self, values: Any, ids: Any, *, keep: bool) -> int:
        values, ids = np.asarray(values), np.asarray(ids).reshape(-1)
        self.touched += float(values[(slice(None), *(0,) * (values.ndim - 1))].sum())
        if keep and self._end + len(ids) <= len(self._ids):
            self._ids[self._end : self._end + len(ids)] = ids
            self._end += len(ids)
            self._sizes.append(len(ids))
        return len(ids)

    def mixing(self) -> float:
        """Return of how many chunks the average batch held samples."""
        if not self._sizes:
            return 0.0
        batches = np.split(self._ids[: self._end], np.cumsum(self._sizes)[:-1])
        return float(np.mean([chunks_per_batch(ids, self._data.chunk_samples) for ids in batches]))


def chunks_per_batch(ids: np.ndarray, chunk_samples: int) -> float:
    """Return the effective number of chunks that a batch's samples lie in: (sum of counts)^2 / sum of squares."""
    counts = np.bincount(ids // chunk_samples)
    return float(counts.sum() ** 2 / np.square(counts).sum())


def private_bytes(pid: int) -> int:
    """Return a process's anonymous and shared memory in bytes; a page of several processes is shared out among them."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(kb) * 1024 for kb in re.findall(r"Pss_(?:Anon|Shmem):\s+(\d+) kB", text))
    return 0


if __name__ == "__main__":
    main()
