"""An object is read as a file: the same bytes from any place on, and by few requests."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator

import pytest
from store_server import StoreServer

from pyloader.errors import ObjectChangedError
from pyloader.files import FetchTerms, ObjectFile
from pyloader.files.stores import open_store

DATA = random.Random(0).randbytes(3_000_000)
NAME = "bucket/data/a"


@pytest.fixture
def server() -> Iterator[StoreServer]:
    with StoreServer() as server:
        server.put(NAME, DATA)
        yield server


def opened(server: StoreServer, *, stop: int = 0) -> io.BufferedReader:
    store = open_store("s3://bucket/data", storage_options=server.s3_options)
    file = ObjectFile(store, store.head("a"), FetchTerms(wait=lambda seconds: False), stop=stop)
    return io.BufferedReader(file, 2**17)


def ranges(server: StoreServer) -> list[tuple[int, int]]:
    asked = [headers["range"].removeprefix("bytes=") for line, headers in server.heard if line.startswith("GET")]
    return [(int(start), int(last) + 1) for start, _, last in (text.partition("-") for text in asked)]


def test_it_reads_as_a_file_does(server: StoreServer) -> None:
    drawn, file, model = random.Random(1), opened(server), io.BytesIO(DATA)
    for _ in range(60):
        place, size = drawn.choice([0, drawn.randrange(len(DATA)), len(DATA) + 5]), drawn.choice([0, 1, 5000, 900_000])
        whence = drawn.choice([io.SEEK_SET, io.SEEK_SET, io.SEEK_END])
        offset = place if whence == io.SEEK_SET else -drawn.randrange(9000)
        assert file.seek(offset, whence) == model.seek(offset, whence)
        assert file.read(size) == model.read(size)
        assert file.readline() == model.readline()
        assert file.tell() == model.tell()
    file.seek(0)
    assert file.read() == DATA


def test_what_will_be_read_comes_in_one_request(server: StoreServer) -> None:
    with opened(server, stop=2_000_000) as file:
        file.seek(1_000_000)
        while file.tell() < 2_000_000:
            file.read(50_000)
    ((start, stop),) = ranges(server)
    assert start == 1_000_000 and 2_000_000 <= stop < 2_100_000


def test_where_reading_goes_on_each_request_brings_more(server: StoreServer) -> None:
    with opened(server) as file:
        while file.read(1000):
            pass
    sizes = [stop - start for start, stop in ranges(server)]
    assert len(sizes) < 8 and sum(sizes) == len(DATA)
    assert all(later > 1.4 * earlier for earlier, later in itertools.pairwise(sizes[:-1]))


def test_what_a_request_brings_anyway_is_not_asked_for_again(server: StoreServer) -> None:
    with opened(server, stop=1_000_000) as file:
        for place in (0, 300_000, 999_000):  # as columns of a table are read
            file.seek(place)
            assert file.read(10) == DATA[place : place + 10]
    assert len(ranges(server)) == 1


def test_a_changed_object_is_an_error_while_it_is_read(server: StoreServer) -> None:
    with opened(server) as file:
        file.read(10)
        server.put(NAME, DATA[::-1])
        file.seek(2_000_000)
        with pytest.raises(ObjectChangedError, match="has changed"):
            file.read(10)
