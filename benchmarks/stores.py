"""Stores: what crosses the network, and how long the loop waits for it, against a server on loopback.

    python benchmarks/stores.py ranks      4 ranks, a process each, on one cache: bytes served over bytes of the data
    python benchmarks/stores.py evicting   a cache of 30% of the data, 4 ranks, 3 epochs: fetches, and by Belady's rule
    python benchmarks/stores.py overlap    50 ms a request, 100 MB/s in all, a step of 1.25 times a batch's share of it
    python benchmarks/stores.py cold       one epoch into an empty cache, and a bare loop of obstore; the best of 3

The server is the one of the tests, in a process of its own.  Chunks are .npy of float32 [1024], with a manifest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import obstore.store

from pyloader import DataLoader, World
from pyloader.cli.main import main as pyloader_command
from pyloader.files.cache import cache_directory
from pyloader.files.cache.identity import room_of_files
from pyloader.plan import Position

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZE = 64
ROW_BYTES = 4096
NUM_RANKS = 4
NUM_FETCHES = 8  # as DataLoader has it
LATENCY_SECONDS, BYTES_PER_SECOND = 0.05, 100e6


def make_chunks(directory: Path, num_chunks: int, chunk_bytes: int) -> int:
    """Make chunks with a manifest, and return their bytes."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(num_chunks):
        rows = rng.random((chunk_bytes // ROW_BYTES, ROW_BYTES // 4), np.float32)
        np.save(directory / f"chunk-{index:04d}.npy", rows)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        pyloader_command(["index", str(directory)])
    return sum(path.stat().st_size for path in directory.glob("*.npy"))


class Server:
    """The store's server, in a process of its own."""

    def __init__(self, directory: Path, *, latency: float = 0.0, rate: float | None = None) -> None:
        words = [str(directory), "--latency", str(latency), *(["--rate", str(rate)] if rate else [])]
        script = ROOT / "tests" / "support" / "store_server.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.options = {"endpoint": self.url, "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}

    def counts(self) -> tuple[int, int]:
        """Return how many requests for chunks there were, and how many bytes were sent in all."""
        with urllib.request.urlopen(f"{self.url}/.counts") as answer:
            counts = json.load(answer)
        chunks = [n for label, n in counts["requests"].items() if label.startswith("GET") and label.endswith(".npy")]
        return sum(chunks), sum(counts["bytes_sent"].values())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def loader_of(server_options: dict[str, str], cache: Path, **options: Any) -> DataLoader:
    """Return a loader of the chunks of the server."""
    place = {"data_dir": "s3://bucket/chunks", "storage_options": server_options, "cache_dir": cache}
    return DataLoader(**place, batch_size=BATCH_SIZE, shuffle=True, last_batch="drop", **options)


def ranks(place: Path, num_chunks: int, chunk_bytes: int) -> None:
    """Count what the ranks of a host fetch together, in the first epoch and in another."""
    size = make_chunks(place / "bucket" / "chunks", num_chunks, chunk_bytes)
    with Server(place) as server:
        before = (0, 0)
        for epoch in range(2):
            given = json.dumps([server.options, str(place / "cache")])
            words = [sys.executable, __file__, "ranks", "--given", given, "--rank"]
            started = [subprocess.Popen([*words, str(rank)]) for rank in range(NUM_RANKS)]
            statuses = [process.wait() for process in started]
            assert not any(statuses)
            now = server.counts()
            requests, sent = now[0] - before[0], now[1] - before[1]
            before = now
            print(
                f"epoch {epoch}, {NUM_RANKS} ranks: {requests} requests for {num_chunks} chunks, "
                f"{sent / size:.3f} times the data served"
            )


def read_rank(rank: int, given: str) -> None:
    """Read an epoch as one of the ranks."""
    server_options, cache = json.loads(given)
    with loader_of(server_options, Path(cache), world=World(rank, NUM_RANKS)) as loader:
        for _ in loader:
            pass


def evicting(place: Path, num_chunks: int, chunk_bytes: int) -> None:
    """Count the fetches of a cache that holds 30% of the data, and look at its size all the time."""
    make_chunks(place / "bucket" / "chunks", num_chunks, chunk_bytes)
    room = room_of_files((place / "bucket/chunks/chunk-0000.npy").stat().st_size)
    bound, cache, num_epochs = int(num_chunks * 0.3) * room, place / "cache", 3
    with Server(place) as server, contextlib.ExitStack() as stack:
        options = {"cache_bytes": bound, "num_epochs": num_epochs}
        loaders = [
            stack.enter_context(loader_of(server.options, cache, world=World(rank, NUM_RANKS), **options))
            for rank in range(NUM_RANKS)
        ]
        reads = [_reads(loader, num_epochs) for loader in loaders]
        with _watched(cache) as looks:
            for _ in zip(*loaders, strict=True):
                pass
        requests, _ = server.counts()
    merged = [chunk for chunk in chain.from_iterable(zip_longest(*reads)) if chunk is not None]
    pinned = NUM_RANKS * (NUM_FETCHES + 1)
    print(f"{len(merged)} reads of {num_chunks} chunks, 30% fit: {requests} fetches")
    for what, capacity in (("of all it holds", bound // room), ("less what is in flight", bound // room - pinned)):
        best = belady(merged, capacity)
        print(f"Belady's rule for {capacity} chunks, {what}: {best} fetches; {requests / best - 1:+.1%}")
    print(f"{len(looks)} looks at the directory: at most {max(looks) / bound:.1%} of the bound")


def _reads(loader: DataLoader, num_epochs: int) -> list[int]:
    """Return the chunks that a loader reads, in order."""
    tasks = loader._options.run.streams.read_tasks(start=Position(0), end_epoch=num_epochs)
    return [task.chunk for task in tasks]


def belady(reads: Sequence[int], capacity: int) -> int:
    """Return how many fetches the best eviction needs: the entry goes whose next use is farthest."""
    next_use, latest = [len(reads)] * len(reads), dict[int, int]()
    for place in reversed(range(len(reads))):
        next_use[place] = latest.get(reads[place], len(reads))
        latest[reads[place]] = place
    held, num_fetches = dict[int, int](), 0
    for place, chunk in enumerate(reads):
        if chunk not in held:
            num_fetches += 1
            if len(held) >= capacity:
                del held[max(held, key=held.__getitem__)]
        held[chunk] = next_use[place]
    return num_fetches


@contextlib.contextmanager
def _watched(cache: Path) -> Iterator[list[int]]:
    """Look at what the cache takes on the disk, again and again, from another thread."""
    looks, ends = [0], threading.Event()
    directory = cache_directory(cache)

    def look() -> None:
        while not ends.is_set():
            total = 0
            for at, _, names in os.walk(directory.root):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        total += os.lstat(os.path.join(at, name)).st_blocks * 512
            looks.append(total)

    thread = threading.Thread(target=look)
    thread.start()
    yield looks
    ends.set()
    thread.join()


def overlap(place: Path, num_chunks: int, chunk_bytes: int) -> None:
    """Measure how long the loop waits, beside a step that takes a little longer than the network needs for a batch."""
    make_chunks(place / "bucket" / "chunks", num_chunks, chunk_bytes)
    step_seconds = 1.25 * BATCH_SIZE * ROW_BYTES / BYTES_PER_SECOND
    never = threading.Event()
    on_disk = _first_batch(
        lambda: DataLoader(data_dir=place / "bucket" / "chunks", batch_size=BATCH_SIZE, shuffle=True)
    )
    with Server(place, latency=LATENCY_SECONDS, rate=BYTES_PER_SECOND) as server:
        begun = time.perf_counter()
        waits = []
        with loader_of(server.options, place / "cache") as loader:
            batches = iter(loader)
            next(batches)
            first = time.perf_counter()
            asked = first
            for _ in batches:
                waits.append(time.perf_counter() - asked)
                never.wait(step_seconds)
                asked = time.perf_counter()
            last, stats = asked, loader.stats()
    print(f"first batch after {first - begun:.2f} s; of the same chunks on a disk after {on_disk:.2f} s")
    share = sum(waits) / (last - first)
    print(f"{len(waits)} steps of {step_seconds * 1000:.1f} ms: the loop waits {share:.1%} of the time")
    print(f"longest wait {max(waits) * 1000:.0f} ms; {stats.cache_misses} chunks fetched")


def _first_batch(make: Callable[[], DataLoader]) -> float:
    begun = time.perf_counter()
    with make() as loader:
        next(iter(loader))
        return time.perf_counter() - begun


def cold(place: Path, num_chunks: int, chunk_bytes: int) -> None:
    """Measure how fast an epoch comes out of an empty cache, and a bare loop with the same parallelism, in turn."""
    size = make_chunks(place / "bucket" / "chunks", num_chunks, chunk_bytes)
    for latency, rate in ((LATENCY_SECONDS, BYTES_PER_SECOND), (0.0, None)):
        with Server(place, latency=latency, rate=rate) as server:
            bare, to_files, ours = [], [], []
            for _ in range(3):
                bare.append(_bare_seconds(server.options))
                to_files.append(_bare_seconds(server.options, place / "files"))
                ours.append(_loader_seconds(server.options, place / "cache"))
        shaped = f"{latency * 1000:.0f} ms, {rate / 1e6:.0f} MB/s" if rate else "as fast as it can"
        speeds = [size / min(seconds) / 1e6 for seconds in (bare, to_files, ours)]
        print(f"server {shaped}: bare {speeds[0]:.0f} MB/s, into files {speeds[1]:.0f}, pyloader {speeds[2]:.0f}")
        print(f"  seconds: bare {_shown(bare)}; into files {_shown(to_files)}; pyloader {_shown(ours)}")


def _shown(seconds: Sequence[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in seconds)


def _bare_seconds(server_options: dict[str, str], files: Path | None = None) -> float:
    begun = time.perf_counter()
    config = {"aws_" + name: value for name, value in server_options.items()}
    client = obstore.store.from_url("s3://bucket/chunks", config=config, client_options={"allow_http": True})
    names = [about["path"] for page in obstore.list(client) for about in page if about["path"].endswith(".npy")]

    def fetch(name: str) -> None:
        data = obstore.get(client, name).bytes()
        if files is not None:
            (files / name).write_bytes(data)

    if files is not None:
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
    with ThreadPoolExecutor(NUM_FETCHES) as threads:
        list(threads.map(fetch, names))
    return time.perf_counter() - begun


def _loader_seconds(server_options: dict[str, str], cache: Path) -> float:
    shutil.rmtree(cache, ignore_errors=True)
    begun = time.perf_counter()
    with loader_of(server_options, cache) as loader:
        for _ in loader:
            pass
        return time.perf_counter() - begun


CASES: dict[str, tuple[Callable[[Path, int, int], None], int, int]] = {
    "ranks": (ranks, 64, 2**20),
    "evicting": (evicting, 256, 2**16),
    "overlap": (overlap, 64, 2**22),
    "cold": (cold, 64, 2**22),
}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--chunks", type=int, help="how many chunks there are")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--given", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank is not None:
        read_rank(arguments.rank, arguments.given)
        return
    measure, num_chunks, chunk_bytes = CASES[arguments.case]
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), arguments.chunks or num_chunks, chunk_bytes)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)


if __name__ == "__main__":
    main()
