"""Parts of files in a store: their batches are those from a disk, and each byte comes once."""

from __future__ import annotations

import json

import msgspec
import pytest
from cache_users import bytes_on_disk
from large_files import FORMS, NUM_ROWS, index_of, write_large
from products import drawn
from ranks import rank_loaders
from small_stores import from_store, gets, same_batches
from store_server import StoreServer
from watching import until_error

from pyloader import DataLoader, DelimitedReader, fetch
from pyloader.cli.main import main
from pyloader.errors import CacheError, ChunkReadError
from pyloader.files import PartEntry, list_chunks, read_manifest, write_manifest
from pyloader.files.cache import cache_directory, cache_entries, damaged_entries, total_bytes

SHUFFLED = {"batch_size": 7, "shuffle": True, "shuffle_window": 3, "max_queue_size": 6, "num_epochs": 2}


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def put(server, tmp_path):
    """Write a file and its index, and put both into the store; return the file on the disk."""

    def put(name, **sizes):
        path = write_large(tmp_path / "data", name)
        index_of(path, **sizes)
        server.put_directory(path.parent, "bucket/data")
        return path

    return put


@pytest.mark.slow
@pytest.mark.parametrize("form", drawn(FORMS, 5))
def test_each_form_gives_the_batches_of_a_disk_and_each_byte_comes_once(server, put, tmp_path, form):
    path = put(form)
    with DataLoader(data_dir=path, **SHUFFLED) as on_disk:
        wanted = list(on_disk)
    place = from_store(server, tmp_path / "cache", f"data/{form}")
    with DataLoader(**place, **SHUFFLED) as stored:
        assert same_batches(list(stored), wanted)
        assert stored.stats().cache_misses == len(list_chunks(path))
    sent = server.bytes_sent[f"bucket/data/{form}"]
    # At a border some come for both neighbours: a frame of lines, or the offset where a sample ends and one begins.
    twice = {"x.jsonl.zst": path.stat().st_size // 2, "x.mds": 4 * len(list_chunks(path))}
    assert sent <= path.stat().st_size + twice.get(form, 0)
    asked = sum(gets(server).values())
    with DataLoader(**place, verify="first", **SHUFFLED) as again:
        assert same_batches(list(again), wanted)
    with DataLoader(**place, offline=True, **SHUFFLED) as offline:
        before = sum(server.requests.values())
        assert same_batches(list(offline), wanted)
    assert sum(gets(server).values()) == asked
    assert sum(server.requests.values()) == before


def parts_with_a_header(server: StoreServer, directory, *, num_parts: int, part_bytes: int, header_bytes: int):
    """Put a file of lines and its index into the store, each of whose parts reads the header too; return the file."""
    directory.mkdir()
    path = directory / "x.csv"
    header = "n,s".ljust(header_bytes - 1) + "\n"
    line_bytes = part_bytes // 10
    lines = (f"{row},".ljust(line_bytes - 1, "x") + "\n" for row in range(10 * num_parts))
    path.write_text(header + "".join(lines))
    index_of(path, chunk_samples=10)
    server.put_directory(directory, "bucket/data")
    return path


@pytest.mark.slow
def test_ranks_of_a_host_fetch_each_byte_once_whatever_all_parts_have(server, tmp_path):
    path = parts_with_a_header(server, tmp_path / "data", num_parts=12, part_bytes=20_000, header_bytes=50_000)
    place = from_store(server, tmp_path / "cache", "data/x.csv")
    options = {"batch_size": 5, "shuffle": True, "shuffle_window": 2, "last_batch": "pad", "num_epochs": 2}
    loaders = rank_loaders(place.pop("data_dir"), 4, reader=DelimitedReader(), **options, **place)
    seen = [batch["n"].tolist() for batch in zip_batches(loaders)]
    assert sorted({row for batch in seen for row in batch}) == list(range(120))
    for loader in loaders:
        loader.close()
    assert server.bytes_sent["bucket/data/x.csv"] == path.stat().st_size
    assert server.requests["GET bucket/data/x.csv"] == 12 + 1


@pytest.mark.slow
def test_what_all_parts_have_is_planned_to_come_once(server, tmp_path):
    path = parts_with_a_header(server, tmp_path / "data", num_parts=12, part_bytes=20_000, header_bytes=50_000)
    with DataLoader(**from_store(server, tmp_path / "cache", "data/x.csv"), batch_size=10) as loader:
        planned = loader.plan()
        assert planned.fetched_bytes == path.stat().st_size
        assert planned.cache_bytes == path.stat().st_size + 11 * 50_000
        next(loader)
        for _ in loader:
            pass
        assert loader.metrics()["fetched_bytes"] == planned.fetched_bytes
        assert loader.plan().fetched_bytes == 0


def zip_batches(loaders):
    """Yield the batches of ranks, which go on together."""
    for batches in zip(*loaders, strict=True):
        yield from batches


@pytest.mark.parametrize("num_workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_what_all_parts_have_stays_in_a_cache_that_cannot_hold_the_parts(server, tmp_path, capsys, num_workers):
    for number in range(3):
        path = parts_with_a_header(server, tmp_path / str(number), num_parts=8, part_bytes=40_000, header_bytes=30_000)
        path.rename(tmp_path / f"{number}.csv")
        server.put(f"bucket/set/{number}.csv", tmp_path / f"{number}.csv")
    assert main(["index", str(tmp_path), "--chunk-samples", "10"]) == 0
    server.put("bucket/set/manifest.json", tmp_path / "manifest.json")
    place = from_store(server, tmp_path / "cache", "set", cache_bytes=650_000)
    directory = cache_directory(tmp_path / "cache")
    options = {"batch_size": 10, "shuffle": True, "shuffle_window": 2, "max_queue_size": 3, "num_epochs": 3}
    with DataLoader(**place, **options, num_workers=num_workers) as loader:
        for _ in loader:
            assert total_bytes(directory) <= 650_000
            assert bytes_on_disk(directory) <= 650_000
    headers = [headers for line, headers in server.heard if line.startswith("GET /bucket/set/") and ".csv" in line]
    assert 3 <= sum(about["range"].startswith("bytes=0-") for about in headers) < 8  # with keys of parts alone, 28
    assert 24 < len(headers) < 72


def test_a_part_is_a_file_with_holes_that_takes_its_own_blocks_alone(server, tmp_path):
    parts_with_a_header(server, tmp_path / "data", num_parts=40, part_bytes=50_000, header_bytes=100)
    with DataLoader(**from_store(server, tmp_path / "cache", "data/x.csv"), batch_size=10) as loader:
        next(loader)
        entries = [path for path in (tmp_path / "cache" / "entries").rglob("x.csv") if path.stat().st_blocks > 100]
        assert entries
        for path in entries:
            assert path.stat().st_size == 2_000_100
            assert path.stat().st_blocks * 512 < 70_000
            assert path.stat().st_mode & 0o777 == 0o400
    assert {entry.num_bytes for entry in cache_entries(cache_directory(tmp_path / "cache"))} >= {100, 50_100}
    assert damaged_entries(cache_directory(tmp_path / "cache")) == []
    entries[0].chmod(0o600)
    with open(entries[0], "r+b") as file:
        file.write(b"m")
    assert len(damaged_entries(cache_directory(tmp_path / "cache"))) == 1


@pytest.mark.slow
def test_parts_that_do_not_say_which_bytes_they_are_come_with_all_of_the_file_once(server, put, tmp_path):
    path = put("x.npy")
    manifest = read_manifest(f"{path}.manifest.json")
    size = path.stat().st_size
    anywhere = PartEntry(file_bytes=size, file_samples=NUM_ROWS, ranges=())
    chunks = tuple(
        msgspec.structs.replace(entry, num_bytes=size // 7, checksum="", part=anywhere) for entry in manifest.chunks
    )
    write_manifest(f"{path}.manifest.json", msgspec.structs.replace(manifest, chunks=chunks))
    server.put_directory(path.parent, "bucket/data")
    with DataLoader(data_dir=path, **SHUFFLED) as on_disk:
        wanted = list(on_disk)
    with DataLoader(**from_store(server, tmp_path / "cache", "data/x.npy"), **SHUFFLED) as stored:
        assert same_batches(list(stored), wanted)
    assert server.bytes_sent["bucket/data/x.npy"] == size
    report = fetch("s3://bucket/data/x.npy", storage_options=server.s3_options, cache_dir=tmp_path / "cache")
    assert (report.num_fetched, report.num_chunks) == (0, 7)


def test_a_server_that_knows_no_ranges_is_refused_with_what_helps(server, put, tmp_path):
    put("x.jsonl")
    server.has_ranges = False
    place = {"data_dir": f"{server.url}/bucket/data/x.jsonl", "cache_dir": tmp_path / "cache"}
    with DataLoader(**place, batch_size=10) as loader:
        _, error = until_error(loader)
    assert isinstance(error, ChunkReadError)
    assert "its server knows no ranges, and parts of files need them" in str(error)
    server.has_ranges = True
    with DataLoader(**place, batch_size=10, num_epochs=1) as loader:
        assert sum(len(batch["n"]) for batch in loader) == 200


def test_an_object_that_changes_under_a_run_is_an_error_and_no_part_of_it_is_mixed_in(server, put, tmp_path):
    path = put("x.jsonl")
    with DataLoader(**from_store(server, tmp_path / "cache", "data/x.jsonl"), batch_size=10, num_workers=0) as loader:
        first = next(loader)
        server.put("bucket/data/x.jsonl", path.read_bytes()[::-1])
        batches, error = until_error(loader)
    assert isinstance(error, ChunkReadError)
    assert "s3://bucket/data/x.jsonl: has changed: its version is" in str(error)
    assert [row for batch in (first, *batches) for row in batch["n"].tolist()] == list(range(30))


def test_bytes_that_differ_from_the_index_are_not_kept(server, put, tmp_path):
    put("x.txt")
    server.add_fault("bucket/data/x.txt", method="GET", times=None, body=lambda data: b"#" * len(data))
    with DataLoader(
        **from_store(server, tmp_path / "cache", "data/x.txt"), batch_size=10, num_workers=0, verify="first"
    ) as loader:
        _, error = until_error(loader)
    assert isinstance(error, ChunkReadError)
    assert error.path.startswith("s3://bucket/data/x.txt[0:30]")
    assert "the checksum differs" in str(error)
    assert not [entry for entry in cache_entries(cache_directory(tmp_path / "cache")) if entry.url.endswith("x.txt")]


def test_a_cache_that_cannot_hold_what_is_read_at_once_is_an_error_with_the_arithmetic(server, put, tmp_path):
    put("x.tar")
    with pytest.raises(
        CacheError, match=r"may hold cache_bytes=100,000, and this loader needs \(fetches: 1 \+ readers"
    ):
        DataLoader(**from_store(server, tmp_path / "cache", "data/x.tar", cache_bytes=100_000), batch_size=10)


@pytest.mark.slow
def test_a_state_goes_from_parts_on_a_disk_to_parts_in_a_store_and_back(server, put, tmp_path):
    path = put("x.parquet")
    place = from_store(server, tmp_path / "cache", "data/x.parquet")
    with DataLoader(data_dir=path, **SHUFFLED) as on_disk:
        wanted = list(on_disk)
    for first, second in (({"data_dir": path}, place), (place, {"data_dir": path})):
        with DataLoader(**first, **SHUFFLED) as loader:
            begun = [next(loader) for _ in range(11)]
            state = json.loads(json.dumps(loader.state_dict()))
        with DataLoader(**second, **SHUFFLED) as loader:
            loader.load_state_dict(state)
            assert same_batches(begun + list(loader), wanted)
