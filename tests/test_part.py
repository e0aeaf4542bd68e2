"""Parts of a file: their names, their ranges, and what a reader is held to."""

from __future__ import annotations

from typing import Any

import pytest

from pyloader import DataReader, JsonlReader, Part
from pyloader.datareader import can_read_parts, read_chunk, read_damaged_chunk
from pyloader.errors import ReadFileError
from pyloader.part import joined_ranges, part_name, split_name

PART = Part(first=2, num_samples=3, ranges=((0, 4), (10, 40)), detail={"groups": [1]})


class Numbers(DataReader):
    """Reads the numbers of rows, whatever is in the file."""

    def read_file(self, path: str) -> Any:
        return {"id": list(range(5))}

    def read_part(self, path: str, part: Part) -> Any:
        return {"id": list(range(part.first, part.stop))}


def test_a_part_is_called_by_its_file_and_rows():
    assert part_name("sub/big.parquet", PART) == "sub/big.parquet[2:5]"
    assert split_name("sub/big.parquet[2:5]") == ("sub/big.parquet", 2, 5)
    assert split_name("odd[0:1].csv[7:9]") == ("odd[0:1].csv", 7, 9)


@pytest.mark.parametrize("name", ["big.csv", "big.csv[5:5]", "big.csv[05:6]", "big.csv[-1:6]", "big.csv[1:2] "])
def test_what_is_no_name_of_a_part_is_refused(name: str):
    with pytest.raises(ValueError, match="is not the name of a part"):
        split_name(name)


def test_ranges_that_touch_or_overlap_are_one():
    assert joined_ranges([(80, 90), (0, 4), (4, 20), (30, 30), (85, 87)]) == ((0, 20), (80, 90))
    assert PART.num_bytes == 34


def test_a_part_is_read_by_read_part():
    assert read_chunk(Numbers(), "big.x") == {"id": [0, 1, 2, 3, 4]}
    assert read_chunk(Numbers(), "big.x", PART) == {"id": [2, 3, 4]}


def test_a_part_of_another_length_than_it_says_is_an_error():
    class Short(Numbers):
        def read_part(self, path: str, part: Part) -> Any:
            return {"id": [2]}

    with pytest.raises(ReadFileError, match=r"Short\.read_part returned 1 samples of rows 2 to 5\. Let find_parts"):
        read_chunk(Short(), "big.x", PART)


def test_rows_of_a_damaged_part_are_read_where_the_reader_can():
    class Mends(Numbers):
        def read_damaged_part(self, path: str, part: Part) -> Any:
            return {"id": [2, 2, 4]}, 3, {1: "is bad"}

    assert read_damaged_chunk(Mends(), "big.x", PART) == ({"id": [2, 2, 4]}, {1: "is bad"})
    assert read_damaged_chunk(Numbers(), "big.x", PART) is None


def test_a_reader_that_reads_files_in_its_own_way_has_no_parts_of_its_parent():
    class OwnWay(Numbers):
        def read_file(self, path: str) -> Any:
            return {"id": [7]}

    class Both(OwnWay):
        def read_part(self, path: str, part: Part) -> Any:
            return {"id": [7]}

    assert can_read_parts(Numbers())
    assert not can_read_parts(OwnWay())
    assert can_read_parts(Both())
    assert not can_read_parts(DataReader())
    assert can_read_parts(JsonlReader())
