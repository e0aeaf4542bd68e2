"""Stores behind a server: what goes wrong there, and what is said of it."""

from __future__ import annotations

import threading
from email.utils import formatdate

import pytest
from store_server import StoreServer

from pyloader.errors import ObjectChangedError, ObjectMissingError, StoreError
from pyloader.files.stores import Store, open_store

DATA = bytes(range(256)) * 12_000


@pytest.fixture
def server():
    with StoreServer() as server:
        server.put("bucket/data/a", DATA)
        yield server


@pytest.fixture(params=["s3", "http"])
def store(request, server) -> Store:
    return opened(server, request.param)


def opened(server: StoreServer, scheme: str, **options: object) -> Store:
    if scheme == "s3":
        return open_store("s3://bucket/data", storage_options={**server.s3_options, **options})
    return open_store(f"{server.url}/bucket/data", storage_options=options)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_told_from_what_will_not(server, store, status):
    server.add_fault("bucket/data/a", status=status)
    with pytest.raises(StoreError, match=rf"/data/a could not be accessed: the server answered {status}") as caught:
        store.read("a")
    assert (caught.value.status, caught.value.may_pass) == (status, True)
    assert store.read("a") == DATA


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 501])
def test_what_will_not_pass_says_so(server, store, status):
    server.add_fault("bucket/data/a", status=status, message="SomeReason")
    with pytest.raises(StoreError, match=rf"was refused: the server answered {status} SomeReason") as caught:
        store.read("a")
    assert (caught.value.status, caught.value.may_pass) == (status, False)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("InvalidAccessKeyId", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("AccessDenied", "AWS_SKIP_SIGNATURE=true"),
        ("ExpiredToken", "AWS_SESSION_TOKEN"),
        ("AuthorizationHeaderMalformed", "Set AWS_REGION"),
    ],
)
def test_an_error_in_the_keys_names_the_variable(server, code, hint):
    server.add_fault("bucket/data/a", status=403, message=code)
    with pytest.raises(StoreError, match=code) as caught:
        opened(server, "s3").read("a")
    assert hint in caught.value.hint


def test_a_public_bucket_is_read_without_keys(server):
    without = {key: value for key, value in server.s3_options.items() if "key" not in key}
    assert open_store("s3://bucket/data", storage_options={**without, "skip_signature": True}).read("a") == DATA


def test_missing_keys_are_an_error_that_names_the_variables(server, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    without = {key: value for key, value in server.s3_options.items() if "key" not in key}
    store = open_store("s3://bucket/data", storage_options={**without, "metadata_endpoint": server.url})
    with pytest.raises(StoreError, match=r"needs keys, and none were found\. Set AWS_ACCESS_KEY_ID and") as caught:
        store.read("a")
    assert not caught.value.may_pass


def test_a_bucket_that_does_not_exist_is_named(server, store):
    server.add_fault("*", status=404, message="NoSuchBucket")
    with pytest.raises(ObjectMissingError, match="has no such bucket"):
        store.read("a")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (formatdate(0, usegmt=True), 0.0), ("soon", None), (None, None)],
)
def test_how_long_a_busy_server_wants_us_to_wait_is_known(server, store, header, seconds):
    server.add_fault("bucket/data/a", status=503, headers={"Retry-After": header} if header else {}, times=2)
    with pytest.raises(StoreError) as caught:
        store.read("a")
    assert caught.value.retry_after_seconds == seconds


def test_a_server_that_is_busy_no_more_need_not_be_waited_for(server, store):
    server.add_fault("bucket/data/a", status=429, headers={"Retry-After": "100"})
    with pytest.raises(StoreError) as caught:
        store.read("a")
    assert caught.value.retry_after_seconds == 0.0


def test_after_a_connection_that_ended_reading_goes_on_from_the_last_byte(server, store):
    server.add_fault("bucket/data/a", close_at=2_500_000)
    incoming, came = store.open("a"), []
    with pytest.raises(StoreError, match=r"the connection ended early|it ended early") as caught:
        came.extend(incoming.blocks)
    assert caught.value.may_pass
    come = b"".join(came)
    assert 0 < len(come) <= 2_500_000
    assert come + store.read("a", len(come), len(DATA), version=incoming.stored.version) == DATA


def test_silence_is_an_error_after_the_seconds_that_the_user_gave(server):
    go_on = threading.Event()
    server.add_fault("bucket/data/a", stall_at=1_500_000, go_on=go_on)
    with pytest.raises(StoreError, match=r"nothing came for 0\.2 s") as caught:
        opened(server, "s3", timeout_seconds=0.2).read("a")
    assert caught.value.may_pass


def test_nobody_at_the_endpoint_is_an_error_that_names_the_variable(server):
    store = open_store("s3://bucket/data", storage_options={**server.s3_options, "endpoint": "http://127.0.0.1:9"})
    with pytest.raises(StoreError, match=r"its server cannot be reached\. Look at AWS_ENDPOINT_URL") as caught:
        store.head("a")
    assert caught.value.may_pass


def test_each_request_is_for_the_version_that_was_listed(server, store):
    version = store.head("a").version
    blocks = store.open("a", 0, 100, version=version).blocks
    assert next(blocks) == DATA[:100]
    new = server.put("bucket/data/a", DATA[::-1])
    with pytest.raises(ObjectChangedError, match="has changed") as caught:
        store.read("a", 100, 200, version=version)
    assert version in str(caught.value)
    assert new.etag in str(caught.value)
    sent = server.bytes_sent["bucket/data/a"]
    with pytest.raises(ObjectChangedError):
        store.read("a", version=version)
    assert server.bytes_sent["bucket/data/a"] - sent < 1000, "If-Match was not sent: the whole object came"


@pytest.mark.parametrize("lacking", [{"ETag"}, set()])
def test_a_version_is_compared_though_the_server_knows_no_if_match(server, store, lacking):
    server.headers_ignored = {"If-Match"}
    server.headers_left_out = lacking
    version = store.head("a").version
    assert ("modified" in version) == bool(lacking)
    held = server.put("bucket/data/a", DATA[::-1])
    held.modified += 10
    with pytest.raises(ObjectChangedError):
        store.read("a", version=version)


def test_a_server_that_gives_no_version_is_refused_unless_the_user_says_so(server):
    server.headers_left_out = {"ETag", "Last-Modified"}
    store = opened(server, "http")
    for ask in (store.head, store.read):
        with pytest.raises(StoreError, match=r"has no version.*storage_options=\{'unversioned': True\}"):
            ask("a")
    store = opened(server, "http", unversioned=True)
    assert store.head("a").version == ""
    assert store.read("a", version="") == DATA


def test_a_server_without_ranges_is_read_all_the_same(server):
    store = opened(server, "http")
    server.has_ranges = False
    assert store.read("a", 1_200_000, 2_300_000) == DATA[1_200_000:2_300_000]
    assert store.read("a", 3_000_000) == DATA[3_000_000:]


def test_an_address_that_is_signed_for_get_alone_is_enough(server):
    server.add_fault("*", method="HEAD", status=403, times=None)
    assert opened(server, "http").head("a").size == len(DATA)


def test_the_query_and_the_password_of_an_address_go_along_with_each_request(server):
    url = server.url.replace("http://", "http://me:word@")
    assert open_store(f"{url}/bucket/data?sig=1%2F2").read("a") == DATA
    line, headers = server.heard[-1]
    assert line.startswith("GET /bucket/data/a?sig=1%2F2 ")
    assert headers["authorization"] == "Basic bWU6d29yZA=="


def test_headers_that_the_user_gives_go_along(server):
    opened(server, "http", headers={"Authorization": "Bearer word"}).read("a")
    assert server.heard[-1][1]["authorization"] == "Bearer word"


def test_over_http_nothing_can_be_listed_or_written(server):
    store = opened(server, "http")
    with pytest.raises(StoreError, match=r"cannot be listed.*manifest\.json"):
        list(store.list())
    for write in (
        lambda: store.create("b", b""),
        lambda: store.replace("a", b"", version="x"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StoreError, match="cannot be"):
            write()
    assert set(server.objects) == {"bucket/data/a"}


def test_directories_that_consoles_make_are_no_objects(server):
    for name in ("bucket/data/", "bucket/data/sub/", "bucket/data/empty"):
        server.put(name, b"")
    assert [about.name for about in opened(server, "s3").list()] == ["a", "empty"]


def test_a_listing_that_breaks_off_is_an_error(server):
    for number in range(5):
        server.put(f"bucket/data/{number}", b"1")
    server.page_size = 2
    server.add_fault("bucket", method="LIST", status=503, after=1)
    with pytest.raises(StoreError, match="the server answered 503") as caught:
        list(opened(server, "s3").list())
    assert caught.value.may_pass


def test_a_write_that_another_one_disturbs_may_be_tried_again(server):
    server.add_fault("bucket/data/b", method="PUT", status=409, message="ConditionalRequestConflict")
    store = opened(server, "s3")
    with pytest.raises(StoreError, match="ConditionalRequestConflict") as caught:
        store.create("b", b"1")
    assert caught.value.may_pass
    store.create("b", b"1")
