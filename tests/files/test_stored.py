"""Chunks of a store on this machine: each is fetched once, stays while it is held, and is what the list says."""

from __future__ import annotations

import itertools
import pickle
import threading

import pytest
from small_stores import gets, store_options, write_chunks_of
from store_server import SECRET_KEY, StoreServer

from pyloader.deliver import called_at_once
from pyloader.errors import CacheError, ChunkReadError
from pyloader.files import FetchTerms, StoredChunks
from pyloader.files.cache import cache_directory, cache_entries, cached_names
from pyloader.files.stored_listing import list_stored

TERMS = FetchTerms(wait=threading.Event().wait, deadline_seconds=0)


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def opened(server, tmp_path):
    """Return a function that stores chunks in a form and opens them; they are closed at the end."""
    found: list[StoredChunks] = []

    def opened(suffix: str = ".jsonl", **options: object) -> StoredChunks:
        if not (tmp_path / suffix).exists():
            server.put_directory(write_chunks_of(suffix, tmp_path / suffix), "bucket/chunks")
        listed = list_stored("s3://bucket/chunks", store_options(server, tmp_path / "cache", **options))
        assert listed.stored is not None
        found.append(listed.stored)
        return listed.stored

    yield opened
    for stored in found:
        stored.close()


def is_here(stored: StoredChunks, index: int) -> bool:
    return stored._identity(index).name in cached_names(cache_directory(stored.options.cache_dir))


def test_a_chunk_is_fetched_once_and_has_its_name_and_bytes(server, opened, tmp_path):
    stored = opened()
    for was_there in (False, True):
        with stored.hold(1, TERMS) as found:
            assert found.was_there is was_there
            assert found.path.name == "chunk-1.jsonl"
            assert found.path.read_bytes() == (tmp_path / ".jsonl/chunk-1.jsonl").read_bytes()
    assert gets(server) == {"bucket/chunks/chunk-1.jsonl": 1}
    assert [is_here(stored, index) for index in range(4)] == [False, True, False, False]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("pyloader.files.fetching._PART_BYTES", 64)


def test_a_large_chunk_comes_in_parts_at_the_same_time(server, opened, tmp_path, small_parts):
    met = threading.Barrier(4, timeout=10)
    server.add_fault("*/chunk-1.jsonl", method="GET", before=met.wait, times=4)
    stored = opened(called=called_at_once)
    with stored.hold(1, TERMS) as found:
        assert found.path.read_bytes() == (tmp_path / ".jsonl/chunk-1.jsonl").read_bytes()
    asked = sorted(headers["range"] for line, headers in server.heard if "chunk-1" in line)
    size = server.objects["bucket/chunks/chunk-1.jsonl"].size
    borders = [size * part // 4 for part in range(5)]
    assert asked == sorted(f"bytes={start}-{stop - 1}" for start, stop in itertools.pairwise(borders))
    assert server.bytes_sent["bucket/chunks/chunk-1.jsonl"] == size


def test_a_part_that_cannot_be_had_ends_the_others_and_leaves_nothing(server, opened, small_parts):
    server.add_fault("*/chunk-1.jsonl", method="GET", status=403)
    stored = opened(called=called_at_once)
    with pytest.raises(ChunkReadError, match=r"chunk-1\.jsonl.*403.*; 1 try in 0 s, 0 B of"):
        stored.hold(1, TERMS)
    assert not is_here(stored, 1)
    with stored.hold(1, TERMS) as found:
        assert not found.was_there


def test_damage_in_a_part_is_found_by_the_checksum_of_the_whole(server, opened, small_parts):
    stored = opened(called=called_at_once, verifies=True)
    stored._checksums = ["xxh3:0123456789abcdef"] * 4
    with pytest.raises(ChunkReadError, match="came with other bytes"):
        stored.hold(1, TERMS)


def test_a_directory_of_columns_is_fetched_whole(server, opened, tmp_path):
    with opened(".columns").held(2, TERMS) as path:
        for name in ("x.npy", "label.npy"):
            with open(f"{path}/{name}", "rb") as file:
                assert file.read() == (tmp_path / ".columns/chunk-2.columns" / name).read_bytes()
    assert sum(gets(server).values()) == 2


def test_a_chunk_that_changed_since_it_was_listed_is_an_error_and_nothing_stays(server, opened, tmp_path):
    stored = opened()
    server.put("bucket/chunks/chunk-1.jsonl", b"other")
    with pytest.raises(ChunkReadError, match=r"s3://bucket/chunks/chunk-1\.jsonl: has changed"):
        stored.hold(1, TERMS)
    assert not is_here(stored, 1)
    assert not list((tmp_path / "cache/partial").iterdir())


def test_a_chunk_with_new_bytes_is_another_one_for_the_next_list(server, opened, tmp_path):
    with opened().hold(1, TERMS):
        pass
    server.put("bucket/chunks/chunk-1.jsonl", b"other")
    later = opened()
    assert not is_here(later, 1)
    with later.hold(1, TERMS) as found:
        assert found.path.read_bytes() == b"other"


def test_after_a_failure_the_chunk_can_be_had_again(server, opened):
    stored = opened()
    server.add_fault("bucket/chunks/chunk-0.jsonl", method="GET", status=403)
    with pytest.raises(ChunkReadError, match="403"):
        stored.hold(0, TERMS)
    stored.hold(0, TERMS).release()


def test_offline_what_is_in_the_cache_is_had_and_what_is_not_is_named(server, opened):
    with opened().hold(0, TERMS):
        pass
    server.requests.clear()
    stored = opened(offline=True)
    stored.hold(0, TERMS).release()
    with pytest.raises(ChunkReadError, match=r"chunk-1\.jsonl: is not in the cache, and offline=True") as caught:
        stored.hold(1, TERMS)
    assert caught.value.path == "s3://bucket/chunks/chunk-1.jsonl"
    assert not server.requests


def test_fewer_chunks_are_fetched_at_once_where_the_cache_has_no_room_for_more(opened):
    room = 4096 * 3
    stored = opened(cache_bytes=room * 20)
    assert stored.register(num_fetches=8, num_readers=1) == 8
    stored.close()
    assert opened(cache_bytes=room * 8).register(num_fetches=8, num_readers=1) == 4


def test_a_cache_that_cannot_hold_one_chunk_to_fetch_and_one_to_read_is_an_error_with_a_remedy(opened):
    stored = opened(cache_bytes=4096)
    with pytest.raises(CacheError, match=r"Write cache_bytes=\d+ or more") as caught:
        stored.register(num_fetches=8, num_readers=1)
    enough = int(caught.value.hint.partition("=")[2].split()[0])
    assert opened(cache_bytes=enough).register(num_fetches=8, num_readers=1) == 1


def test_closing_gives_back_what_was_registered_and_all_may_be_opened_again(opened, tmp_path):
    stored = opened()
    stored.register(num_fetches=2, num_readers=1)
    assert len(list((tmp_path / "cache/loaders").iterdir())) == 1
    stored.close()
    stored.close()
    assert not list((tmp_path / "cache/loaders").iterdir())
    stored.hold(0, TERMS).release()


def test_a_copy_from_pickle_uses_the_same_cache(server, opened):
    stored = opened()
    stored.hold(0, TERMS).release()
    copy = pickle.loads(pickle.dumps(stored))
    assert is_here(copy, 0)
    copy.hold(1, TERMS).release()
    copy.close()
    assert sum(gets(server).values()) == 2
    assert copy.keys.tolist() == stored.keys.tolist()


def test_keys_tell_chunks_and_their_versions_apart(server, opened):
    before = opened().keys[:, 0].tolist()
    assert len(set(before)) == 4
    server.put("bucket/chunks/chunk-1.jsonl", b"other")
    after = opened().keys[:, 0].tolist()
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True, True]


def test_nothing_secret_is_shown_or_kept(server, opened, tmp_path):
    stored = opened()
    stored.hold(0, TERMS).release()
    entries = cache_entries(cache_directory(stored.options.cache_dir))
    assert SECRET_KEY not in f"{stored!r} {stored.options!r} {entries!r}"
    kept = [path.name.encode() + path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert SECRET_KEY.encode() not in b"".join(kept)
