"""How fast batches come, of any iterable of batches, and how much memory a process takes."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Measurement", "forget_peak", "measure", "num_rows", "peak_bytes", "private_bytes"]

_LOOK_SECONDS = 0.02  # between two looks at the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured."""

    num_batches: int  # batches received
    num_samples: int  # samples in them
    seconds: float  # from the request of the first batch to the last batch
    first_batch_seconds: float  # how long the first one took, the making of the loader included
    samples_per_second: float  # after the first batch that is measured; with one batch only, of that one
    # the most private memory of this process and those below it, above what there was before; 0 where the system does
    # not say
    memory_bytes: int
    is_whole: bool  # whether the batches came to an end before the time was over


def measure(
    make: Callable[[], Iterable[Any]],
    *,
    seconds: float,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    is_settled: Callable[[], bool] = lambda: True,
) -> Measurement:
    """Take batches for so long, or until they end.

    Args:
      make: Returns what gives them; its own time counts towards the first batch.
      seconds: How long, counted from the first batch that is measured.
      progress: Wraps the batches as they are taken.
      is_settled: Returns whether the rate may be measured from now on; after so many seconds more it is in any case.

    Raises:
      ValueError: there is no batch, or one of unknown length.
    """
    before = most = private_bytes()
    begun = time.perf_counter()
    first = since = now = looked = 0.0
    num_batches = num_samples = samples_before = 0
    is_whole = True
    for batch in progress(make()):
        now = time.perf_counter()
        num_batches, num_samples = num_batches + 1, num_samples + num_rows(batch)
        first = first or now
        if not since and (is_settled() or now - first >= seconds):
            since, samples_before = now, num_samples
        if now - looked > _LOOK_SECONDS:
            most, looked = max(most, private_bytes()), now
        if since and now - since >= seconds:
            is_whole = False
            break
    if not num_batches:
        raise ValueError("there was not one batch")
    measured = num_samples - samples_before if since else 0
    rate = measured / (now - since) if measured else num_samples / (now - begun)
    return Measurement(
        num_batches=num_batches,
        num_samples=num_samples,
        seconds=now - begun,
        first_batch_seconds=first - begun,
        samples_per_second=rate,
        memory_bytes=most - before,
        is_whole=is_whole,
    )


def num_rows(batch: Any) -> int:
    """Return how many samples a batch has: a mapping's or tuple's first value, or the batch itself, has that length.

    Raises:
      ValueError: it has none.
    """
    part = batch
    while isinstance(part, Mapping | tuple) and part:
        part = next(iter(part.values())) if isinstance(part, Mapping) else part[0]
    try:
        return len(part)
    except TypeError as exc:
        what = f"a batch is a {type(batch).__name__} whose length is unknown"
        raise ValueError(f"{what}; deliver a dict, a tuple, or an array") from exc


def private_bytes() -> int:
    """Return the private memory (anonymous and shared) of this process and all below it; 0 where there is no /proc."""
    return sum(map(_private_bytes, _process_and_below(Path("/proc/self"))))


def _process_and_below(place: Path) -> Iterator[Path]:
    yield place
    with suppress(OSError):
        for children in place.glob("task/*/children"):
            for child in children.read_text().split():
                yield from _process_and_below(Path("/proc", child))


def _private_bytes(place: Path) -> int:
    with suppress(OSError):  # it has ended meanwhile
        found = re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", (place / "status").read_text(), re.MULTILINE)
        return sum(map(int, found)) * 1024
    return 0


def peak_bytes() -> int:
    """Return the largest resident size of this process since `forget_peak`, in bytes; 0 where the system is silent."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's peak too, which a child inherits
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) * 1024 if found else 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Measure from here on, on Linux; elsewhere the peak is that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
