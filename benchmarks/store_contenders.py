"""Stores, beside others: MosaicML streaming and litdata, each with its own format, from the same server.

    python benchmarks/store_contenders.py

The same rows, float32 [1024], lie in the store as .npy chunks, MDS shards and chunks of litdata, of 2 MiB each; batches
of 64, shuffled.  Each round reads an epoch into an empty cache and one from the full cache, in a new process for each
contender, in turn: of the server of the tests, 50 ms a request and 100 MB/s in all.  Caches hold all of the data.  With
workers: pyloader has its threads, the others as many worker processes as there are processors.  What is not installed
is left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from stores import BATCH_SIZE, BYTES_PER_SECOND, LATENCY_SECONDS, ROW_BYTES, Server, loader_of, make_chunks

CHUNK_BYTES = 2**21
NUM_WORKERS = os.cpu_count() or 1


def rows(directory: Path) -> np.ndarray:
    """Return the rows of the chunks."""
    return np.concatenate([np.load(path) for path in sorted(directory.glob("*.npy"))])


def write_mosaic(values: np.ndarray, place: Path) -> None:
    """Write MDS shards."""
    import streaming

    kind = {"values": f"ndarray:float32:{ROW_BYTES // 4}"}
    with streaming.MDSWriter(out=str(place), columns=kind, size_limit=CHUNK_BYTES) as writer:
        for row in values:
            writer.write({"values": row})


def read_mosaic(options: dict[str, str], cache: Path) -> Iterable[Any]:
    """Read an epoch of them: local= is the cache, whose cache_limit is not set."""
    import streaming
    import torch.utils.data

    os.environ |= {"S3_ENDPOINT_URL": options["endpoint"], **_keys(options)}
    streaming.base.util.clean_stale_shared_memory()
    dataset = streaming.StreamingDataset(
        remote="s3://bucket/mosaic", local=str(cache), shuffle=True, batch_size=BATCH_SIZE, num_canonical_nodes=1
    )
    return torch.utils.data.DataLoader(dataset, BATCH_SIZE, num_workers=NUM_WORKERS)


def write_litdata(values: np.ndarray, place: Path) -> None:
    """Write chunks of litdata."""
    import litdata

    place.mkdir()
    litdata.optimize(
        fn=_items,
        inputs=[values[start : start + 4096] for start in range(0, len(values), 4096)],
        output_dir=str(place),
        num_workers=1,
        chunk_bytes=CHUNK_BYTES,
        verbose=False,
    )


def _items(values: np.ndarray) -> Iterable[dict[str, np.ndarray]]:
    for row in values:
        yield {"values": row}


def read_litdata(options: dict[str, str], cache: Path) -> Iterable[Any]:
    """Read an epoch of them: cache_dir= is the cache, of max_cache_size 100GB, which is litdata's own."""
    import litdata

    os.environ |= _keys(options)
    litdata.streaming.downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # of its obstore: the server has no TLS
    there = litdata.streaming.resolver.Dir(path=str(cache), url="s3://bucket/litdata")
    dataset = litdata.StreamingDataset(there, shuffle=True, storage_options={"endpoint_url": options["endpoint"]})
    return litdata.StreamingDataLoader(dataset, batch_size=BATCH_SIZE, num_workers=NUM_WORKERS)


def _keys(options: dict[str, str]) -> dict[str, str]:
    keys = {f"AWS_{name.upper()}": options[name] for name in ("access_key_id", "secret_access_key")}
    return {**keys, "AWS_DEFAULT_REGION": options["region"]}


Write = Callable[[np.ndarray, Path], None]
Read = Callable[[dict[str, str], Path], Iterable[Any]]
CONTENDERS: dict[str, tuple[str, Write | None, Read]] = {
    "pyloader": ("obstore", None, loader_of),
    "mosaic": ("streaming", write_mosaic, read_mosaic),
    "litdata": ("litdata", write_litdata, read_litdata),
}


def read_epoch(name: str, given: str) -> None:
    """Read an epoch, and print the seconds that the loop took, the processor's, and the rows that came."""
    options, cache = json.loads(given)
    package, _, read = CONTENDERS[name]
    importlib.import_module(package)
    used, before = _processor_seconds(), time.perf_counter()
    num_rows = 0
    for batch in read(options, Path(cache)):
        values = next(iter(batch.values())) if isinstance(batch, dict) else batch
        num_rows += len(values)
    seconds = time.perf_counter() - before
    print(json.dumps([seconds, _processor_seconds() - used, num_rows]))


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), help="may be typed again")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--given", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender is not None:
        read_epoch(arguments.contender, arguments.given)
        return
    names = [name for name in arguments.only or CONTENDERS if importlib.util.find_spec(CONTENDERS[name][0])]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        size = make_chunks(place / "bucket" / "chunks", arguments.chunks, CHUNK_BYTES)
        for name in names:
            if (write := CONTENDERS[name][1]) is not None:
                write(rows(place / "bucket" / "chunks"), place / "bucket" / name)
        found: dict[str, list[list[float]]] = {f"{name}, {when}": [] for when in ("cold", "warm") for name in names}
        with Server(place, latency=LATENCY_SECONDS, rate=BYTES_PER_SECOND) as server:
            for number in range(arguments.rounds):
                for label, epochs in found.items():
                    name = label.partition(",")[0]
                    given = json.dumps([server.options, str(place / f"cache-{name}-{number}")])
                    words = [sys.executable, __file__, "--contender", name, "--given", given]
                    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=place).stdout
                    epochs.append(json.loads(said.splitlines()[-1]))
    for label, epochs in found.items():
        seconds, processor = (min(each) for each in list(zip(*epochs, strict=True))[:2])
        num_rows = {int(each[2]) for each in epochs}
        print(
            f"{label}: {size / 1e6 / seconds:.0f} MB/s, {processor / size * 1e9:.1f} CPU seconds a GB, rows {num_rows}"
        )
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)


if __name__ == "__main__":
    main()
