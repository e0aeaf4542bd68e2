"""The room that a chunk has: what is counted against which bound, and whose bound the error names."""

from __future__ import annotations

import pytest

from pyloader.errors import MemoryBoundError
from pyloader.files import room as room_module
from pyloader.files.room import Room, check_fits, longest_line, room_of


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    monkeypatch.setattr(room_module, "half_of_memory", lambda: 100)


def test_columns_have_the_room_of_max_bytes_and_what_reading_takes_half_of_the_memory():
    with room_of(50):
        room, other = Room("a"), Room("b")
    room.take(90, kept=40)
    room.take(10, kept=10)
    with pytest.raises(MemoryBoundError, match=r"a: takes more than 100 B unpacked, which is half of the memory\."):
        room.take(1, kept=0)
    other.take(50)
    with pytest.raises(MemoryBoundError, match=r"b: takes more than 50 B unpacked, which is max_bytes=50\."):
        other.take(1)


def test_a_larger_bound_goes_further_and_without_one_it_is_half_of_the_memory():
    with room_of(400):
        Room("a").take(400)
        with pytest.raises(MemoryBoundError, match="more than 400 B unpacked, which is max_bytes=400"):
            Room("a").take(401)
    Room("a").take(100)
    with pytest.raises(MemoryBoundError, match=r"which is half of the memory; it says that it unpacks to 999 B\."):
        Room("a", says=lambda: 999).take(101)
    Room("a", is_bounded=False).take(10**9)


def test_a_file_that_is_read_at_once_may_have_all_of_the_memory_or_max_bytes():
    check_fits("a", 200)
    with pytest.raises(MemoryBoundError, match="a: is to be read at once and has 201 B"):
        check_fits("a", 201)
    with room_of(300):
        check_fits("a", 300)
    with room_of(50):
        check_fits("a", 200)


def test_a_line_may_have_half_of_what_a_chunk_may_take_and_no_more_than_its_room():
    assert longest_line() == 50
    with room_of(400):
        assert longest_line() == 200
    with room_of(20):
        assert (longest_line(), longest_line(Room("a"))) == (50, 20)
