"""The bytes of an object come to a file: what may pass is asked for again, from the last byte on."""

from __future__ import annotations

import io
import threading

import pytest
from store_server import StoreServer

from pyloader.errors import ChunkReadError, ClosedError, StoreError
from pyloader.files import FetchTerms
from pyloader.files.fetching import ask_again, fetch_object
from pyloader.files.manifest import checksum_of
from pyloader.files.stores import open_store

DATA = bytes(range(256)) * 12_000
NAME = "bucket/data/a"


class Fetch:
    """Fetches object "a" of a server, without waiting, and notes what is noted."""

    def __init__(self, server: StoreServer, *, deadline_seconds: float = 60.0, **options: object) -> None:
        self.server, self.waits, self.num_bytes, self.num_retries = server, [], 0, 0
        self.wait = self._wait
        self._store = open_store("s3://bucket/data", storage_options={**server.s3_options, **options})
        self._stored = self._store.head("a")
        self.file = io.BytesIO()
        self._terms = FetchTerms(
            wait=lambda seconds: self.wait(seconds),
            note_bytes=self._count,
            note_retry=self._retry,
            deadline_seconds=deadline_seconds,
        )

    def __call__(self) -> str:
        return fetch_object(self._store, self._stored, self.file, self._terms)

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def _count(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes

    def _retry(self) -> None:
        self.num_retries += 1

    def num_requests(self) -> int:
        return self.server.requests[f"GET {NAME}"]


@pytest.fixture
def server():
    with StoreServer() as server:
        server.put(NAME, DATA)
        yield server


def test_the_bytes_come_in_one_request_with_the_checksum_of_the_file(server, tmp_path):
    fetch = Fetch(server)
    checksum = fetch()
    (tmp_path / "a").write_bytes(DATA)
    assert checksum == checksum_of(tmp_path / "a")
    assert (fetch.file.getvalue(), fetch.num_bytes, fetch.num_retries) == (DATA, len(DATA), 0)
    assert (fetch.num_requests(), server.bytes_sent[NAME]) == (1, len(DATA))


def test_an_empty_object_needs_no_request(server):
    server.put(NAME, b"")
    fetch = Fetch(server)
    fetch()
    assert fetch.num_requests() == 0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_for_again(server, status):
    server.add_fault(NAME, method="GET", status=status, times=3)
    fetch = Fetch(server)
    fetch()
    assert fetch.file.getvalue() == DATA
    assert (fetch.num_requests(), fetch.num_retries) == (4, 3)


def test_each_wait_is_longer_and_of_chance_and_none_is_longer_than_ten_seconds(server):
    server.add_fault(NAME, method="GET", status=500, times=9)
    fetch = Fetch(server)
    fetch()
    most = [min(0.4 * 2**number, 10) for number in range(9)]
    assert all(full / 2 <= waited <= full for waited, full in zip(fetch.waits, most, strict=True))
    assert len({waited / full for waited, full in zip(fetch.waits, most, strict=True)}) > 1


def test_what_a_server_asks_for_is_waited_in_any_case(server):
    fetch = Fetch(server)
    server.add_fault(NAME, status=503, headers={"Retry-After": "7"}, times=2)  # the second answers what asks for it
    fetch()
    (waited,) = fetch.waits
    assert 7 <= waited <= 8


def test_a_server_that_asks_for_a_day_is_asked_again_at_the_deadline(server):
    fetch = Fetch(server, deadline_seconds=60)
    server.add_fault(NAME, status=503, headers={"Retry-After": "86400"}, times=2)
    fetch()
    (waited,) = fetch.waits
    assert 59 < waited <= 60


def test_after_a_connection_that_ends_the_rest_is_asked_for(server):
    server.add_fault(NAME, method="GET", close_at=2_500_000)
    fetch = Fetch(server)
    fetch()
    assert fetch.file.getvalue() == DATA
    assert fetch.num_bytes == len(DATA)
    ranges = [headers["range"] for line, headers in server.heard if line.startswith("GET")]
    assert len(ranges) == 2
    assert ranges[0] == f"bytes=0-{len(DATA) - 1}"
    begin = int(ranges[1].removeprefix("bytes=").partition("-")[0])
    assert begin > 0
    assert server.bytes_sent[NAME] == 2_500_000 + len(DATA) - begin


def test_connections_that_end_again_and_again_are_no_failure_while_something_comes(server):
    server.add_fault(NAME, method="GET", close_at=1_100_000, times=2)
    fetch = Fetch(server, deadline_seconds=60)
    fetch()
    assert fetch.file.getvalue() == DATA
    assert all(waited <= 0.4 for waited in fetch.waits), "what has come begins the waits anew"


@pytest.mark.slow
def test_a_server_that_stalls_is_left_and_asked_again(server):
    server.add_fault(NAME, method="GET", stall_at=1_500_000, go_on=threading.Event())
    fetch = Fetch(server, timeout_seconds=0.3)
    fetch()
    assert fetch.file.getvalue() == DATA
    assert fetch.num_requests() == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_will_not_pass_is_never_asked_for_again(server, status):
    fetch = Fetch(server)
    server.add_fault(NAME, status=status, times=None)
    with pytest.raises(ChunkReadError, match=r"s3://bucket/data/a.*1 try in 0 s, 0 B of 3.1 MB received") as caught:
        fetch()
    assert (fetch.num_requests(), fetch.waits) == (1, [])
    assert str(status) in str(caught.value) or status == 404


def test_an_object_that_changes_on_the_way_is_an_error_that_names_both_versions(server):
    was = server.objects[NAME].etag
    server.add_fault(NAME, method="GET", close_at=1_500_000)
    changed = bytes(len(DATA))
    server.add_fault(NAME, method="GET", before=lambda: server.put(NAME, changed))
    fetch = Fetch(server)
    with pytest.raises(ChunkReadError, match="has changed") as caught:
        fetch()
    assert was in str(caught.value)
    assert server.objects[NAME].etag in str(caught.value)


def test_when_nothing_has_come_for_the_deadline_the_error_says_what_was_tried(server):
    server.add_fault(NAME, method="GET", close_at=1_500_000)
    server.add_fault(NAME, method="GET", status=503, times=None)
    fetch = Fetch(server, deadline_seconds=0)
    with pytest.raises(ChunkReadError) as caught:
        fetch()
    assert isinstance(caught.value.__cause__, TimeoutError)  # it may pass all the same: read_retries tries again
    begin = len(fetch.file.getvalue())
    assert "1 try" in str(caught.value)
    assert f"{begin / 1e6:.1f} MB of 3.1 MB received" in str(caught.value)


def test_the_deadline_counts_from_the_last_byte(server):
    server.add_fault(NAME, method="GET", status=503, times=None)
    fetch = Fetch(server, deadline_seconds=0.05)
    never = threading.Event()
    fetch.wait = lambda _seconds: never.wait(0.02)
    with pytest.raises(ChunkReadError, match=r"answered 503.*; \d tries in 0 s, 0 B of") as caught:
        fetch()
    assert fetch.num_requests() == fetch.num_retries + 1 > 1
    assert caught.value.path == "s3://bucket/data/a"


def test_whoever_is_closed_while_it_waits_asks_no_more(server):
    server.add_fault(NAME, method="GET", status=503, times=None)
    fetch = Fetch(server)

    def closed(seconds: float) -> bool:
        raise ClosedError("closed")

    fetch.wait = closed
    with pytest.raises(ClosedError):
        fetch()
    assert fetch.num_requests() == 1


def test_who_asks_in_vain_for_ten_seconds_is_told_so(monkeypatch):
    now, asked = [0.0], []
    monkeypatch.setattr("pyloader.files.fetching.time.monotonic", lambda: now[0])

    def ask() -> None:
        asked.append(now[0])
        now[0] += 20
        raise StoreError("s3://bucket", "could not be accessed: nothing came for 20 s.", may_pass=True)

    with pytest.raises(StoreError, match="nothing came"):
        ask_again(ask)
    assert asked == [0]
