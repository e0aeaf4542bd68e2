"""A loader of a store: its batches are those from a disk, each chunk comes once, and failures are what they are."""

from __future__ import annotations

import logging
import pickle
import threading
import time
import traceback

import pytest
from numbered import NumberedReader, ids_of, loader_of
from ranks import global_batches, rank_loaders, through_json, write_counted
from small_stores import FORMS, from_store, gets, same_batches, write_chunks_of
from store_server import StoreServer
from watching import ctrl_c_after, error_in_forked_child, until_error

from pyloader import DataLoader
from pyloader.errors import ChunkReadError, ForkError
from pyloader.files.cache import cache_directory
from pyloader.files.cache.plans import live_plans
from pyloader.run import fetching
from pyloader.testing.open_resources import loader_threads
from pyloader.write import ChunkWriter

COUNTS = [12, 7, 20, 9, 15, 11, 3, 14]
SHUFFLED = {"batch_size": 5, "shuffle": True, "shuffle_window": 3, "max_queue_size": 6}
ENGINES = [{"num_workers": 0}, {"num_workers": 2, "num_readers": 2}]


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server


@pytest.fixture
def counted(server, tmp_path):
    """Chunks with a manifest, in the store and on the disk."""
    directory = write_counted(tmp_path / "chunks", COUNTS)
    server.put_directory(directory, "bucket/chunks")
    return directory


def _numbered(**options):
    return DataLoader(NumberedReader(), **{**SHUFFLED, **options})


def _listed(server: StoreServer) -> int:
    """Return how many bytes lists and manifests have taken."""
    return sum(size for name, size in server.bytes_sent.items() if name.endswith("manifest.json") or name == "bucket")


class TestSameBatches:
    @pytest.mark.parametrize("suffix", FORMS)
    def test_each_form_gives_from_a_store_what_it_gives_from_a_disk(self, server, tmp_path, suffix):
        directory = write_chunks_of(suffix, tmp_path / "chunks")
        server.put_directory(directory, "bucket/chunks")
        options = {**SHUFFLED, "num_epochs": 2}
        with (
            DataLoader(data_dir=directory, **options) as on_disk,
            DataLoader(**from_store(server, tmp_path / "cache"), **options) as stored,
        ):
            assert same_batches(list(stored), list(on_disk))
            assert (stored.stats().cache_misses, stored.stats().cache_hits) == (4, 4)
        assert set(gets(server).values()) == {1}
        assert stored.stats().fetched_bytes == sum(size for size in server.bytes_sent.values()) - _listed(server)

    @pytest.mark.parametrize("scheme", ["s3", "http"])
    def test_each_scheme_gives_the_same(self, server, counted, tmp_path, scheme):
        place = from_store(server, tmp_path / "cache")
        if scheme == "http":
            place |= {"data_dir": f"{server.url}/bucket/chunks", "storage_options": None}
        with loader_of(counted, **SHUFFLED) as on_disk, _numbered(**place) as stored:
            assert ids_of(stored) == ids_of(on_disk)

    @pytest.mark.slow
    @pytest.mark.parametrize("there", [True, False])
    def test_a_state_goes_from_a_disk_to_a_store_and_back(self, server, counted, tmp_path, there):
        with loader_of(counted, **SHUFFLED) as loader:
            whole = ids_of(loader)
        place = from_store(server, tmp_path / "cache")
        first, then = ({"data_dir": counted}, place) if there else (place, {"data_dir": counted})
        for step in range(0, len(whole), 4):
            with _numbered(**first) as loader:
                head = [next(loader)["id"].tolist() for _ in range(step)]
                state = through_json(loader.state_dict())
            with _numbered(**then) as loader:
                loader.load_state_dict(state)
                assert head + ids_of(loader) == whole

    @pytest.mark.slow
    def test_worker_processes_read_from_the_cache(self, server, counted, tmp_path):
        with loader_of(counted, **SHUFFLED) as on_disk:
            whole = ids_of(on_disk)
        with _numbered(**from_store(server, tmp_path / "cache"), worker_kind="process", num_workers=1) as loader:
            assert ids_of(loader) == whole
        assert set(gets(server).values()) == {1}

    @pytest.mark.slow
    def test_a_pickled_loader_reads_through_the_same_cache(self, server, counted, tmp_path):
        with _numbered(**from_store(server, tmp_path / "cache")) as loader, pickle.loads(pickle.dumps(loader)) as copy:
            assert ids_of(copy) == ids_of(loader)
        assert set(gets(server).values()) == {1}

    def test_a_copy_claims_of_the_cache_what_the_first_one_does(self, server, counted, tmp_path):
        with _numbered(**from_store(server, tmp_path / "cache")) as loader, pickle.loads(pickle.dumps(loader)) as copy:
            next(copy)
            claims = [plan.needed for plan in live_plans(cache_directory(tmp_path / "cache").plans)]
            assert len(claims) == 2
            assert claims[0] == claims[1]

    @pytest.mark.slow
    def test_ranks_on_one_cache_fetch_each_chunk_once(self, server, counted, tmp_path):
        options = {"batch_size": 2, "shuffle": True, "shuffle_window": 2, "last_batch": "pad"}
        whole = global_batches(rank_loaders(counted, 4, **options))
        place = from_store(server, tmp_path / "cache")
        loaders = rank_loaders(place.pop("data_dir"), 4, **options, **place)
        assert global_batches(loaders) == whole
        for loader in loaders:
            loader.close()
        assert set(gets(server).values()) == {1}


class TestOnce:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_a_second_loader_asks_for_the_list_alone(self, server, counted, tmp_path, engine):
        for _ in range(2):
            with _numbered(**from_store(server, tmp_path / "cache"), **engine) as loader:
                assert sum(map(len, ids_of(loader))) == sum(COUNTS) // 5 * 5 + sum(COUNTS) % 5
        assert set(gets(server).values()) == {1}
        assert loader.stats().cache_hits == len(COUNTS)

    def test_offline_a_complete_cache_serves_everything_without_a_request(self, server, counted, tmp_path):
        with _numbered(**from_store(server, tmp_path / "cache")) as loader:
            whole = ids_of(loader)
        server.requests.clear()
        with _numbered(**from_store(server, tmp_path / "cache"), offline=True) as loader:
            assert ids_of(loader) == whole
        assert not server.requests

    @pytest.mark.parametrize("engine", ENGINES)
    def test_offline_the_error_names_the_chunk_that_lacks(self, server, counted, tmp_path, engine):
        with _numbered(**from_store(server, tmp_path / "cache")) as loader:
            list(loader)
        (entry,) = [path.parent for path in (tmp_path / "cache").rglob("chunk-0003.numbered")]
        for path in entry.iterdir():
            path.unlink()
        entry.rmdir()
        server.requests.clear()
        with _numbered(**from_store(server, tmp_path / "cache"), offline=True, **engine) as loader:
            _, error = until_error(loader)
        assert isinstance(error, ChunkReadError)
        assert error.path == "s3://bucket/chunks/chunk-0003.numbered"
        assert "is not in the cache" in str(error)
        assert not server.requests


class TestFailures:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """Wait a thousandth of the time before requests are made again."""
        monkeypatch.setattr("pyloader.files.fetching._FIRST_WAIT_SECONDS", 0.0002)

    @pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"close_at": 1}])
    @pytest.mark.parametrize("engine", ENGINES)
    def test_what_may_pass_is_seen_in_the_stats_alone(self, server, counted, tmp_path, engine, fault):
        server.add_fault("*.numbered", method="GET", times=3, **fault)
        with (
            _numbered(**from_store(server, tmp_path / "cache"), **engine) as loader,
            loader_of(counted, **SHUFFLED) as on_disk,
        ):
            assert ids_of(loader) == ids_of(on_disk)
            assert loader.stats().num_fetch_retries == 3
        assert "3 requests made again" in str(loader.stats())

    @pytest.mark.slow
    def test_a_twentieth_of_all_requests_may_fail(self, server, tmp_path):
        directory = write_counted(tmp_path / "chunks", [5] * 60)
        server.put_directory(directory, "bucket/chunks")
        faults = [
            server.add_fault("*", chance=0.025, times=None, close_at=1),
            server.add_fault("*", chance=0.025, times=None, status=500),
        ]
        with _numbered(**from_store(server, tmp_path / "cache")) as loader, loader_of(directory, **SHUFFLED) as on_disk:
            assert ids_of(loader) == ids_of(on_disk)
        assert all(fault.used for fault in faults)

    @pytest.mark.parametrize("status", [403, 404])
    @pytest.mark.parametrize("engine", ENGINES)
    def test_what_will_not_pass_is_asked_for_once_and_is_an_error_with_all_of_it(
        self, server, counted, tmp_path, engine, status
    ):
        name = "bucket/chunks/chunk-0003.numbered"
        server.add_fault(name, status=status, times=None)
        with _numbered(**from_store(server, tmp_path / "cache"), read_retries=3, **engine) as loader:
            _, error = until_error(loader)
        assert isinstance(error, ChunkReadError)
        assert error.path == f"s3://{name}"
        assert "1 try in 0 s, 0 B of 4 B received" in str(error)
        assert gets(server)[name] == 1

    def test_max_skipped_leaves_out_a_chunk_that_may_not_be_read(self, server, counted, tmp_path):
        server.add_fault("*/chunk-0003.numbered", status=403, times=None)
        with loader_of(counted, **SHUFFLED) as on_disk:
            everything = {number for batch in ids_of(on_disk) for number in batch}
        with _numbered(**from_store(server, tmp_path / "cache"), max_skipped=1) as loader:
            found = {number for batch in ids_of(loader) for number in batch}
        start = sum(COUNTS[:3])
        assert everything - found == set(range(start, start + COUNTS[3]))
        assert "403" in str(loader.stats())

    @pytest.mark.parametrize("engine", ENGINES)
    def test_a_chunk_that_changes_in_mid_run_is_an_error_that_names_both_versions(
        self, server, counted, tmp_path, engine
    ):
        name = "bucket/chunks/chunk-0003.numbered"
        with _numbered(**from_store(server, tmp_path / "cache"), **engine) as loader:
            was = server.objects[name].etag
            server.put(name, b"48 99")
            _, error = until_error(loader)
        assert isinstance(error, ChunkReadError)
        assert was in str(error) and server.objects[name].etag in str(error)

    @pytest.mark.parametrize("chunk_format", ["columns", "parquet"])
    def test_wrong_bytes_of_the_right_length_are_found_by_the_checksum_and_not_kept(
        self, server, tmp_path, chunk_format
    ):
        with ChunkWriter(tmp_path / "chunks", format=chunk_format, chunk_samples=5) as writer:
            for number in range(20):
                writer.write({"x": number})
        server.put_directory(tmp_path / "chunks", "bucket/chunks")
        server.add_fault("*chunk-00002*", method="GET", body=lambda data: data[:-8] + bytes(8))
        place = {**from_store(server, tmp_path / "cache"), "batch_size": 5, "verify": "first"}
        with DataLoader(**place) as loader:
            _, error = until_error(loader)
        assert isinstance(error, ChunkReadError)
        assert "came with other bytes than its manifest was made of: the checksum differs" in str(error)
        with DataLoader(**place) as loader, DataLoader(data_dir=tmp_path / "chunks", batch_size=5) as on_disk:
            assert same_batches(list(loader), list(on_disk))  # which is the remedy


class TestEnds:
    @pytest.mark.slow
    @pytest.mark.parametrize("engine", ENGINES)
    def test_closing_while_a_server_stalls_ends_soon_and_leaves_no_thread(self, server, counted, tmp_path, engine):
        stalled = threading.Event()
        server.add_fault("*.numbered", before=stalled.set, stall_at=1, go_on=threading.Event(), times=None)
        place = from_store(server, tmp_path / "cache")
        place["storage_options"] = {**server.s3_options, "timeout_seconds": 1}  # how long a request may be silent
        loader = _numbered(**place, **engine)
        failed: list[BaseException] = []
        reading = threading.Thread(target=lambda: failed.append(until_error(loader)[1]))
        reading.start()
        assert stalled.wait(10)
        begun = time.monotonic()
        loader.close()
        assert time.monotonic() - begun < 6
        reading.join(10)
        assert failed
        assert not loader_threads()

    def test_closing_ends_the_wait_before_a_request_is_made_again(self, server, counted, tmp_path, monkeypatch):
        monkeypatch.setattr("pyloader.files.fetching._FIRST_WAIT_SECONDS", 100.0)
        failed = threading.Event()
        server.add_fault("*.numbered", before=failed.set, status=500, times=None)
        loader = _numbered(**from_store(server, tmp_path / "cache"))
        reading = threading.Thread(target=lambda: until_error(loader))
        reading.start()
        assert failed.wait(10)
        loader.close()
        reading.join(5)
        assert not reading.is_alive()
        assert not loader_threads()

    @pytest.mark.slow
    @pytest.mark.parametrize("making", [True, False])
    def test_ctrl_c_is_heard_while_a_server_is_silent_without_threads_too(self, server, counted, tmp_path, making):
        asked, go_on = threading.Event(), threading.Event()
        place = from_store(server, tmp_path / "cache")
        loader = None if making else _numbered(**place, num_workers=0)
        server.add_fault("bucket/chunks/*", method="GET", before=lambda: (asked.set(), go_on.wait(20)), times=None)
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt), ctrl_c_after(asked):
            next(loader or _numbered(**place, num_workers=0))
        assert time.monotonic() - begun < 15  # the server is silent for 20
        go_on.set()
        if loader is not None:
            assert len(ids_of(loader)) == -(-sum(COUNTS) // 5)
            loader.close()

    @pytest.mark.slow
    def test_a_forked_child_is_told_to_make_its_own(self, server, counted, tmp_path):
        with _numbered(**from_store(server, tmp_path / "cache")) as loader:
            next(loader)
            assert "after the fork" in error_in_forked_child(lambda: next(loader), ForkError)
            assert len(ids_of(loader)) == -(-sum(COUNTS) // 5) - 1


SECRET = "pL4nted"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_what_is_secret_is_nowhere(server, counted, tmp_path, caplog, scheme):
    caplog.set_level(logging.DEBUG)
    place = from_store(server, tmp_path / "cache")
    place["storage_options"] = {**server.s3_options, "secret_access_key": SECRET, "session_token": SECRET}
    if scheme == "http":
        at = server.url.replace("http://", f"http://{SECRET}:{SECRET}@")
        place |= {"data_dir": f"{at}/bucket/chunks?signature={SECRET}", "storage_options": None}
    server.add_fault("*/chunk-0003.numbered", method="GET", status=500)
    server.add_fault("*/chunk-0005.numbered", method="GET", status=403, times=None)
    with _numbered(**place, max_skipped=1, audit_dir=tmp_path / "receipts") as loader:
        list(loader)
        shown = [repr(loader), str(loader.stats()), repr(loader.stats()), repr(loader.state_dict())]
    with _numbered(**{**place, "cache_dir": tmp_path / "other"}) as loader:
        _, error = until_error(loader)
    shown += ["".join(traceback.format_exception(error)), repr(error), caplog.text]
    kept = [path for place in ("cache", "receipts") for path in (tmp_path / place).rglob("*")]
    assert len(kept) > len(COUNTS)
    shown += [f"{path} {path.read_bytes() if path.is_file() else ''}" for path in kept]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.slow
def test_until_the_first_segments_chunks_are_here_no_others_share_the_network(server, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_FIRST_SECONDS", 1000)  # this machine may be busy
    in_flight, looked, fourth = threading.Barrier(3, timeout=20), threading.Barrier(3, timeout=20), threading.Event()
    begun: list[int] = []

    def wait_for_the_others() -> None:
        begun.append(len(begun))
        if len(begun) > 3:
            fourth.set()
        else:
            in_flight.wait()
            came.append(fourth.wait(0.2))
            looked.wait()  # none of the three is here before all have looked

    came: list[bool] = []
    server.add_fault("bucket/chunks/chunk*", method="GET", before=wait_for_the_others, times=None)
    with _numbered(**from_store(server, tmp_path / "cache"), num_workers=1) as loader:
        next(loader)
        assert came == [False, False, False]
        assert len(list(loader)) > 10
    assert len(begun) == len(COUNTS)
