"""The contract of a store, over every kind of it."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from many_stores import PLAIN, REAL, places, stores_of
from real_servers import fake_gcs

from pyloader.errors import ObjectChangedError, ObjectExistsError, ObjectMissingError, StoreError

LONG = bytes(range(256)) * 12_000  # several blocks


PLACES = places()


@pytest.fixture(scope="module", params=[*PLAIN, *(pytest.param(kind, marks=pytest.mark.frameworks) for kind in REAL)])
def kind(request, tmp_path_factory):
    """Give a kind, and what opens its stores: a real server is started once for all tests."""
    if request.param in PLAIN:
        yield request.param, None
    else:
        with stores_of(request.param, tmp_path_factory.mktemp(request.param)) as opened:
            yield request.param, opened


@pytest.fixture
def store(kind, tmp_path):
    name, opened = kind
    with contextlib.ExitStack() as stack:
        opened = opened or stack.enter_context(stores_of(name, tmp_path))
        yield opened(next(PLACES))


def test_what_was_created_is_read_again(store):
    version = store.create("a/b.bin", LONG)
    assert store.read("a/b.bin") == LONG
    assert store.read("a/b.bin", version=version) == LONG
    about = store.head("a/b.bin")
    assert (about.name, about.size, about.version) == ("a/b.bin", len(LONG), version)


def test_what_is_opened_says_its_version_and_size_and_comes_in_blocks(store):
    version = store.create("a", LONG)
    incoming = store.open("a")
    assert (incoming.stored.version, incoming.stored.size) == (version, len(LONG))
    blocks = list(incoming.blocks)
    assert len(blocks) > 1
    assert all(isinstance(block, bytes) for block in blocks)
    assert b"".join(blocks) == LONG


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, 3000), (3_000_000, 3_072_000), (7, None), (3_071_999, None)])
def test_any_range_can_be_read(store, start, stop):
    version = store.create("a", LONG)
    assert store.read("a", start, stop, version=version) == LONG[start:stop]
    assert store.open("a", start, stop).stored.size == len(LONG)


@pytest.mark.parametrize("data", [b"", b"x"])
def test_small_and_empty_objects_are_objects(store, data):
    version = store.create("a", memoryview(data))
    assert store.read("a", version=version) == data
    assert store.read("a", 0, len(data)) == data
    assert store.read("a", len(data), len(data)) == b""
    assert store.head("a").size == len(data)


def test_names_keep_every_character(store):
    for name in ["b c", "d%20e", "f+g", "ümlaut/ß", "q?x=1", "h#i", "a/b/c.columns/x.npy"]:
        store.create(name, name.encode())
    assert {about.name for about in store.list()} == {
        "b c",
        "d%20e",
        "f+g",
        "ümlaut/ß",
        "q?x=1",
        "h#i",
        "a/b/c.columns/x.npy",
    }
    assert all(store.read(about.name) == about.name.encode() for about in store.list())


def test_all_objects_below_a_directory_are_listed_however_many_pages_that_takes(store):
    for name in ["a/1", "a/2", "a/b/3", "ab/4", "5"]:
        store.create(name, name.encode())
    assert sorted(about.name for about in store.list()) == ["5", "a/1", "a/2", "a/b/3", "ab/4"]
    assert sorted(about.name for about in store.list("a")) == ["a/1", "a/2", "a/b/3"]
    assert list(store.list("nowhere")) == []
    assert {about.name: (about.size, about.version) for about in store.list("a")} == {
        name: (len(name), store.head(name).version) for name in ["a/1", "a/2", "a/b/3"]
    }


def test_what_is_missing_is_an_error_of_its_own(store):
    for ask in (store.head, store.read, lambda name: store.replace(name, b"1", version='"1"')):
        with pytest.raises(ObjectMissingError, match=r"/no/such does not exist") as caught:
            ask("no/such")
        assert not caught.value.may_pass
    store.delete("no/such")


def test_an_object_is_created_only_once(store):
    store.create("a", b"1")
    with pytest.raises(ObjectExistsError, match=r"/a is there already") as caught:
        store.create("a", b"2")
    assert not caught.value.may_pass
    assert store.read("a") == b"1"


def test_an_object_is_replaced_only_if_nobody_else_has_done_so(store):
    first = store.create("a", b"1")
    second = store.replace("a", b"22", version=first)
    assert second != first
    with pytest.raises(ObjectChangedError) as caught:
        store.replace("a", b"333", version=first)
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert store.read("a", version=second) == b"22"


def test_an_object_that_changed_is_not_read_as_the_one_that_was_listed(store):
    first = store.create("a", b"1" * 100)
    second = store.replace("a", b"2" * 100, version=first)
    for start, stop in [(0, None), (0, 100), (50, 60), (50, 50)]:
        with pytest.raises(ObjectChangedError) as caught:
            store.read("a", start, stop, version=first)
        assert not caught.value.may_pass
        assert first in str(caught.value)
        assert second in str(caught.value)


def test_a_deleted_object_is_gone_and_can_be_created_again(store):
    store.create("a", b"1")
    store.delete("a")
    assert list(store.list()) == []
    store.create("a", b"2")
    assert store.read("a") == b"2"


def test_of_many_that_create_an_object_at_once_one_has_done_it(store):
    def create(number: int) -> bool:
        try:
            store.create("a", b"%d" % number)
        except ObjectExistsError:
            return False
        return store.read("a") == b"%d" % number

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(24))) == 1


def test_of_many_that_replace_an_object_at_once_nobody_undoes_anothers_work(store):
    store.create("count", b"0")

    def count(_: int) -> None:
        while True:
            incoming = store.open("count")
            number = int(b"".join(incoming.blocks))
            try:
                store.replace("count", b"%d" % (number + 1), version=incoming.stored.version)
                return
            except ObjectChangedError:
                continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))
    assert store.read("count") == b"20"


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\0b"])
def test_no_name_leads_out_of_the_store(store, name):
    with pytest.raises(StoreError):
        store.create(name, b"1")
    with pytest.raises(StoreError):
        store.read(name)


def test_reading_can_be_given_up(store):
    store.create("a", LONG)
    blocks = store.open("a").blocks
    next(blocks)
    blocks.close()


def test_a_store_is_shown_by_its_address(store):
    assert repr(store) == f"{type(store).__name__}({store.url!r})"


@pytest.mark.frameworks
def test_google_cloud_storage_is_read(tmp_path):
    with fake_gcs(tmp_path) as opened:
        store = opened("some")
        [about] = store.list()
        assert (about.name, about.size) == ("a", 256)
        assert about == store.head("a") or about.version == store.head("a").version
        assert store.read("a", 3, 7, version=about.version) == bytes([3, 4, 5, 6])
        with pytest.raises(ObjectMissingError):
            store.read("b")
