"""Two writers that add to the same set in a store at the same time, each in a process of its own.

By hand, with as many races as one likes:

    PYTHONPATH=.:tests/support python tests/support/store_races.py 200 --server moto
    PYTHONPATH=.:tests/support python tests/support/store_races.py 200 --steals
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from store_server import StoreServer

from pyloader.errors import PyLoaderError
from pyloader.files.stores import open_store
from pyloader.write import split

__all__ = ["races", "steal_locks"]

ROWS = 20
TRIES = 5  # of a writer whose place is taken again and again
ADDRESS = "s3://bucket/set"


def races(options: dict[str, Any], directory: Path, number: int, *, takes_over: bool = False) -> Counter[str]:
    """Have two writers add `number` times each; see to it that each row that one has added is there once, and no other.

    Args:
      options: The `storage_options` of the store.
      directory: For dumps, and what is put aside.
      number: Of the races.
      takes_over: Whether a writer takes the place of one that seems to be silent.

    Returns:
      What was seen, and how often: "added", "refused", or another error.
    """
    spawn = multiprocessing.get_context("spawn")
    start, answers = spawn.Barrier(2), spawn.Queue()
    arguments = (options, str(directory), number, takes_over, start, answers)
    processes = [spawn.Process(target=_racer, args=(name, *arguments)) for name in ("a", "b")]
    for process in processes:
        process.start()
    added, seen = set(), Counter[str]()
    for _ in processes:
        names, counts = answers.get(timeout=60 + 20 * number)
        added |= set(names)
        seen += Counter(counts)
    for process in processes:
        process.join()
    rows = Counter(_rows(options, may_leave_chunks=takes_over))
    assert not [row for row, count in rows.items() if count > 1], "rows are there twice"
    missing = {f"{name} {row}" for name in added for row in range(ROWS)} ^ rows.keys()
    assert not missing, f"lost, or added though that was refused: {sorted(missing)}"
    return seen + Counter(added=len(added))


def _racer(
    name: str, options: dict[str, Any], directory: str, number: int, takes_over: bool, start: Any, answers: Any
) -> None:
    scratch = Path(directory, name)
    scratch.mkdir()
    added, seen = [], Counter[str]()
    for race in range(number):
        dump = scratch / f"day {race}.jsonl"
        dump.write_text("".join(json.dumps({"id": f"{name} {race} {row}"}) + "\n" for row in range(ROWS)))
        start.wait()
        for _ in range(TRIES if takes_over else 10_000):
            try:
                split(
                    dump, ADDRESS, append=True, engine="inline", take_over=takes_over, scratch_dir=scratch,
                    storage_options=options,
                )  # fmt: skip
            except PyLoaderError as exc:
                is_known = takes_over or "is being written" in str(exc) or "come and go" in str(exc)
                seen["refused" if is_known else str(exc)] += 1
                # Of a writer that has lost its place long ago: it is moved away, as the error says.
                if takes_over and (left := re.search(r"holds (chunk-\S+), which no manifest lists", str(exc))):
                    open_store(ADDRESS, storage_options=options).delete(left[1])
                time.sleep(0.01)
            else:
                added.append(f"{name} {race}")
                break
    answers.put((added, dict(seen)))


def _rows(options: dict[str, Any], *, may_leave_chunks: bool) -> Iterator[str]:
    """Yield the rows of the set."""
    store = open_store(ADDRESS, storage_options=options)
    listed = {chunk["file"]: chunk["num_bytes"] for chunk in json.loads(store.read("manifest.json"))["chunks"]}
    for file, size in listed.items():
        data = store.read(file)
        assert len(data) == size
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(data).splitlines()
        yield from (json.loads(line)["id"] for line in lines)
    names = {stored.name for stored in store.list() if stored.name.startswith((".split", "chunk"))}
    assert may_leave_chunks or names == listed.keys(), "something is left"


def steal_locks(server: StoreServer) -> None:
    """Have a writer seem to be silent for a minute at one request in fifty."""

    def age() -> None:
        if held := server.objects.get("bucket/set/.split/lease"):
            held.modified -= 100

    server.add_fault("*", chance=0.02, times=None, before=age)


def main() -> None:
    """Run races, and print what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("number", type=int)
    parser.add_argument("--server", choices=("stub", "moto", "seaweedfs"), default="stub")
    parser.add_argument("--steals", action="store_true", help="writers seem to be silent now and then (stub)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        if given.server == "stub":
            server = stack.enter_context(StoreServer())
            options: dict[str, Any] = server.s3_options
            if given.steals:
                steal_locks(server)
        else:
            import real_servers

            place = Path(directory, "server")
            place.mkdir()
            options = stack.enter_context(getattr(real_servers, given.server)(place)).options
        begun = time.monotonic()
        seen = races(options, Path(directory), given.number, takes_over=given.steals)
        print(f"{dict(seen)} in {time.monotonic() - begun:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
