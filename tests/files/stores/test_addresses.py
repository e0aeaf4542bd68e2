"""Addresses: taken apart, and which store they name."""

from __future__ import annotations

import pathlib
import sys

import pytest

from pyloader.errors import MissingDependencyError, StoreError
from pyloader.files.stores import Address, LocalStore, open_store, parse_address, printable, store_scheme


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://bucket/chunks/train/", ("s3", "bucket", "chunks/train")),
        ("s3://bucket", ("s3", "bucket", "")),
        ("s3a://bucket/a%20b#c d", ("s3", "bucket", "a%20b#c d")),
        ("GCS://bucket/x", ("gs", "bucket", "x")),
        ("azure://container/x/y", ("az", "container", "x/y")),
        ("http://localhost:8000/x", ("http", "localhost:8000", "x")),
        ("https://host/x/manifest.json?a=b#c", ("https", "host", "x/manifest.json")),
        ("hf://datasets/org/name", ("hf", "datasets", "org/name")),
        ("file:///data/x/", ("file", "", "data/x")),
    ],
)
def test_an_address_has_a_scheme_a_place_and_a_path(text, parts):
    address = parse_address(text)
    assert (address.scheme, address.place, address.path) == parts
    assert parse_address(str(address)) == address or address.query


@pytest.mark.parametrize("text", ["s3://bucket/x/y", "file:///data/x", "https://host/x"])
def test_what_pathlib_makes_of_an_address_is_the_same_address(text):
    assert parse_address(pathlib.PurePosixPath(text)) == parse_address(text)


def test_the_parent_of_an_address_keeps_the_signature():
    above, name = parse_address("https://me@host/a/manifest.json?sig=1").parent()
    assert (str(above), name) == ("https://host/a", "manifest.json")
    assert (above.user, above.query) == ("me", "sig=1")
    assert parse_address("s3://bucket").parent() == (Address("s3", "bucket", ""), "")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("s3:///x", "names no bucket or host. Write s3://BUCKET/DATA"),
        ("chunks/train", "is no address of a store"),
        ("s3://key:secret@bucket/x", "s3://bucket/x has a password or a user in it.*storage_options"),
        ("gs://bucket/x?token=1", "gs://bucket/x has a query in it"),
        ("abfss://container@account/x", "Write az://CONTAINER/DATA"),
    ],
)
def test_what_is_no_address_says_what_to_write(text, match):
    with pytest.raises(StoreError, match=match):
        parse_address(text)


def test_a_path_is_no_address_and_shown_as_it_is():
    assert store_scheme("C:/data") == store_scheme("a/b:c") == ""
    assert printable("/data/what?.txt") == "/data/what?.txt"


def test_a_file_address_is_a_directory(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    store = open_store(f"file://{tmp_path}")
    assert isinstance(store, LocalStore)
    assert store.read("a") == b"1"
    assert store.url == f"file://{tmp_path}"
    with pytest.raises(StoreError, match="takes no storage_options, got 'region'"):
        open_store(f"file://{tmp_path}", storage_options={"region": 1})


@pytest.mark.parametrize(("address", "package"), [("s3://bucket", "obstore"), ("hf://datasets/x", "fsspec")])
def test_a_missing_package_is_named_with_what_needs_it(monkeypatch, address, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf"^data at {address[:2]}\w*:// needs '{package}', .*: pip install {package}$"
    ):
        open_store(address)
