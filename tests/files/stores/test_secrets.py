"""What is secret reaches no message, no traceback, no log, and nothing that is shown."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from store_server import StoreServer

from pyloader.errors import StoreError
from pyloader.files.stores import open_store, parse_address, printable

SECRET = "pL4nted"
S3 = {"access_key_id": f"AKIA{SECRET}", "secret_access_key": f"1{SECRET}1", "session_token": f"2{SECRET}2"}
ADDRESS = f"http://{SECRET}:{SECRET}@HOST/bucket/data?signature={SECRET}&x=1"


def everything_shown(error: BaseException) -> str:
    """Return all that a traceback, a debugger, a log or another process could show of an error, and of its causes."""
    texts = traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(vars(seen)), repr(pickle.loads(pickle.dumps(seen)))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def check(ask: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreError) as caught:
        ask()
    assert SECRET not in everything_shown(caught.value)
    assert SECRET not in caplog.text


@pytest.fixture
def server():
    with StoreServer() as server:
        server.put("bucket/data/a", bytes(3_000_000))
        yield server


@pytest.fixture(params=["s3", "http"])
def store(request, server):
    if request.param == "s3":
        options = {**server.s3_options, **S3, "timeout_seconds": 0.2}
        return open_store("s3://bucket/data", storage_options=options)
    options = {"headers": {"X-Token": SECRET}, "timeout_seconds": 0.2}
    return open_store(ADDRESS.replace("HOST", server.url.removeprefix("http://")), storage_options=options)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 409, 412, 416, 429, 500, 501, 503])
def test_whatever_the_server_answers(server, store, caplog, status):
    server.add_fault("*", status=status, times=None, message="AccessDenied")  # its body repeats address and headers
    check(lambda: store.read("a", 0, 10, version='"1"'), caplog)
    check(lambda: store.head("a"), caplog)
    check(lambda: store.create("b", b"1"), caplog)
    check(lambda: store.replace("a", b"1", version='"1"'), caplog)
    check(lambda: list(store.list()), caplog)
    assert SECRET not in repr(store)


@pytest.mark.parametrize("fault", [{"close_at": 10}, {"close_at": 2_000_000}, {"stall_at": 10}])
def test_whatever_breaks_off(server, store, caplog, fault):
    server.add_fault("bucket/data/a", **fault)
    check(lambda: store.read("a"), caplog)


def test_what_has_changed_is_named_without_secrets(store, caplog):
    check(lambda: store.read("a", version='"of before"'), caplog)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "http://127.0.0.1:9"},
        {"endpoint": f"{SECRET}:80"},
        {"endpoint": f"http://127.0.0.1:9/{SECRET}?{SECRET}"},
        {"no_such": SECRET},
        {"conditional_put": SECRET},
        {"proxy_url": SECRET},
    ],
)
def test_wrong_options(caplog, options):
    check(lambda: open_store("s3://bucket/data", storage_options={**S3, "region": "x", **options}).head("a"), caplog)


@pytest.mark.parametrize(
    "address",
    [
        f"s3://{SECRET}:{SECRET}@bucket/data",
        f"gs://bucket/data?token={SECRET}",
        f"https://{SECRET}:{SECRET}@?{SECRET}",
        f"https://:{SECRET}@/",
        f"abfss://{SECRET}@account/data?{SECRET}",
    ],
)
def test_wrong_addresses(caplog, address):
    check(lambda: open_store(address), caplog)
    assert SECRET not in printable(address)


def test_an_address_is_shown_without_what_is_secret():
    address = parse_address(ADDRESS)
    assert SECRET in address.user
    assert SECRET in address.query
    assert SECRET not in f"{address} {address!r} {address.of('a')} {address.parent()}"
    assert printable(ADDRESS) == "http://HOST/bucket/data"
