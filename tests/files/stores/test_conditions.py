"""Servers that do not keep to the conditions of writes are found out."""

from __future__ import annotations

import pytest
from store_server import StoreServer

from pyloader.errors import StoreError
from pyloader.files.stores import LocalStore, MemoryStore, check_conditions, open_store


@pytest.fixture
def server():
    with StoreServer() as server:
        yield server
        assert not server.objects, "the trial has left something"


def test_stores_that_keep_to_them_are_taken(server, tmp_path):
    s3 = open_store("s3://bucket/x", storage_options=server.s3_options)
    gs = open_store("gs://bucket/x", storage_options=server.gs_options)
    for store in (s3, gs, LocalStore(tmp_path), MemoryStore()):
        check_conditions(store, replaces=True)


@pytest.mark.parametrize(
    ("ignored", "match"),
    [
        ({"If-None-Match"}, "overwrites objects that were only to be created"),
        ({"If-Match"}, "replaces objects that others"),
    ],
)
def test_a_server_that_ignores_a_condition_is_refused(server, ignored, match):
    server.headers_ignored = ignored
    with pytest.raises(StoreError, match=match):
        check_conditions(open_store("s3://bucket", storage_options=server.s3_options), replaces=True)


def test_who_only_creates_needs_no_more(server):
    server.headers_ignored = {"If-Match"}
    check_conditions(open_store("s3://bucket", storage_options=server.s3_options), replaces=False)


def test_http_cannot_be_written(server):
    with pytest.raises(StoreError, match="takes no writes"):
        check_conditions(open_store(f"{server.url}/bucket"), replaces=False)
