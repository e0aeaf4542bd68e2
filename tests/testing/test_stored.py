"""The checks of `pyloader.testing` take loaders whose chunks are in an object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from store_server import StoreServer

from pyloader import DataLoader, split
from pyloader.testing.loaders import LOADER_CHECKS, check_loader

IN_PROCESSES = {"check_processes", "check_scripts", "check_kills", "check_ctrl_c"}


@pytest.fixture(scope="module")
def make_loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DataLoader]]:
    place = tmp_path_factory.mktemp("stored")
    (place / "dump.jsonl").write_text("".join(json.dumps({"n": n, "text": f"line {n}"}) + "\n" for n in range(600)))
    split(place / "dump.jsonl", place / "chunks", chunk_samples=100)
    with StoreServer() as server:
        server.put_directory(Path(place / "chunks"), "corpus/chunks")
        where = {"data_dir": "s3://corpus/chunks", "storage_options": server.s3_options, "cache_dir": place / "cache"}
        yield partial(DataLoader, batch_size=8, shuffle=True, **where)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check for check in LOADER_CHECKS if check.__name__ not in IN_PROCESSES])
def test_a_check_is_kept_over_a_store(make_loader: Callable[..., DataLoader], check: Callable[..., None]) -> None:
    assert check_loader(make_loader, checks=[check]) == {check.__name__: "kept"}
