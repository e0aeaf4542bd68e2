"""Loaders and splits over real servers of object stores: the batches and the chunks are those of a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from many_stores import REAL, places, stores_of
from numbered import NumberedReader, ids_of
from ranks import global_batches, through_json, write_counted
from real_servers import Opened, put_below, variables_of

from pyloader import DataLoader, World, fetch
from pyloader.write import split

pytestmark = pytest.mark.frameworks

SHUFFLED: dict[str, Any] = {"batch_size": 5, "shuffle": True, "shuffle_window": 3, "num_epochs": 2}
PLACES = places()


@pytest.fixture(scope="module", params=REAL)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Give what opens stores of a real server, which is started once for all tests."""
    with stores_of(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    return write_counted(tmp_path / "chunks", [12, 7, 20, 9, 15, 11, 3, 14])


@pytest.fixture
def stored(opened: Opened, chunks: Path, tmp_path: Path) -> dict[str, Any]:
    """The options of a loader of these chunks in the store."""
    store = put_below(opened(next(PLACES)), chunks)
    return {"data_dir": store.url, "storage_options": store._options, "cache_dir": tmp_path / "cache"}  # type: ignore[attr-defined]


def loader_of(place: dict[str, Any], **options: Any) -> DataLoader:
    return DataLoader(NumberedReader(), **{**SHUFFLED, **place, **options})


def test_two_epochs_a_resume_and_offline(stored: dict[str, Any], chunks: Path) -> None:
    with loader_of({"data_dir": chunks}) as on_disk, loader_of(stored, num_workers=2, num_readers=2) as loader:
        whole = ids_of(on_disk)
        head = [next(loader)["id"].tolist() for _ in range(11)]
        state = through_json(loader.state_dict())
        assert head + ids_of(loader) == whole
        assert loader.stats().cache_misses == 8
    with loader_of(stored) as loader:
        loader.load_state_dict(state)
        assert head + ids_of(loader) == whole
    with loader_of({**stored, "storage_options": None}, offline=True) as loader:
        assert ids_of(loader) == whole


def test_two_ranks_share_one_cache(stored: dict[str, Any], chunks: Path) -> None:
    def ranks(place: dict[str, Any]) -> list[DataLoader]:
        return [loader_of(place, world=World(rank, 2), last_batch="drop") for rank in range(2)]

    loaders = ranks(stored)
    assert global_batches(loaders) == global_batches(ranks({"data_dir": chunks}))
    assert sum(loader.stats().cache_misses for loader in loaders) == 8
    for loader in loaders:
        loader.close()


def test_all_chunks_are_fetched_at_once(stored: dict[str, Any]) -> None:
    report = fetch(stored["data_dir"], storage_options=stored["storage_options"], cache_dir=stored["cache_dir"])
    assert (report.num_chunks, report.num_fetched, report.num_retries) == (8, 8, 0)


def test_a_dump_is_split_as_on_a_disk(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dump/more").mkdir(parents=True)
    for name, start in (("a.jsonl", 0), ("more/b.jsonl", 50_000)):
        (tmp_path / "dump" / name).write_text("".join(f'{{"id": {start + row}}}\n' for row in range(50_000)))
    store = put_below(opened(next(PLACES)), tmp_path / "dump")
    for name, value in variables_of(store._options).items():  # type: ignore[attr-defined]
        monkeypatch.setenv(name, value)
    split(f"{store.url}/**/*.jsonl", tmp_path / "set", engine="thread", workers=2, shuffle=True)
    split(store.url, tmp_path / "whole", engine="thread", workers=2, shuffle=True)
    split(f"{tmp_path}/dump/**/*.jsonl", tmp_path / "disk", shuffle=True)

    def made(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("chunk-*")}

    assert made("set") == made("whole") == made("disk") != {}
