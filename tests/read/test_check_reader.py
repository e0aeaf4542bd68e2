"""The reader contract that users run: it finds each way to break it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pyloader.datareader import DataReader
from pyloader.errors import ReadFileError
from pyloader.ragged import Ragged
from pyloader.testing import check_reader

SHARED = np.arange(3)
CALLS = itertools.count()


class Good(DataReader):
    returns_new_arrays = True

    def read_file(self, path):
        return {"x": np.array([1.0, np.nan]), "ragged": [[1], [2, float("nan")]], "text": ["a", None]}, 2


class Shared(Good):
    def read_file(self, path):
        return {"x": SHARED[:2]}, 2


class SharedRagged(Good):
    def read_file(self, path):
        return {"x": Ragged(SHARED, [0, 1, 3])}, 2


class ReadOnly(Good):
    def read_file(self, path):
        return {"x": np.frombuffer(b"12", np.uint8)}, 2


class Counting(DataReader):
    def read_file(self, path):
        return {"text": ["a", f"call {next(CALLS)}"]}, 2


class OtherDtype(DataReader):
    def read_file(self, path):
        return {"x": np.zeros(2, ["f4", "f8"][next(CALLS) % 2])}, 2


class Growing(DataReader):
    def read_file(self, path):
        return {"text": ["a"] * next(CALLS)}


class Turning(DataReader):
    def read_file(self, path):
        names = ["a", "b"] if next(CALLS) % 2 else ["b", "a"]
        return {name: [1] for name in names}


class Forgetful(DataReader):
    def __init__(self):
        super().__init__()
        self.value = 1

    def __getstate__(self):
        return {"value": 2}

    def read_file(self, path):
        return {"n": [self.value]}


class Local(DataReader):
    def __init__(self):
        super().__init__()
        self.decode = lambda text: text

    def read_file(self, path):
        return {"text": ["a"]}


def test_a_good_reader_passes_and_its_columns_come_back():
    assert list(check_reader(Good(), "a")) == ["x", "ragged", "text"]


@pytest.mark.parametrize(
    ("reader_class", "match"),
    [
        (Shared, "Shared says returns_new_arrays, but 'x' shares memory with 'x' of the second read"),
        (SharedRagged, "SharedRagged says returns_new_arrays, but 'x' shares memory with 'x' of the second read"),
        (ReadOnly, "ReadOnly says returns_new_arrays, but 'x' is read-only"),
        (Counting, "Counting read a twice: row 1 of 'text' is 'call [0-9]+', then 'call [0-9]+'"),
        (OtherDtype, "OtherDtype read a twice, and the second answer has 'x' as float"),
        (Growing, r"Growing read a twice: [0-9,]+ rows in 'text', then [0-9,]+"),
        (Turning, r"Turning read a twice: columns \['[ab]', '[ab]'\], then"),
        (Forgetful, "Forgetful and its copy by pickle read a: row 0 of 'n' is 1, then 2"),
        (Local, "Local cannot be pickled, so it cannot go to another process"),
    ],
)
def test_a_broken_contract_is_found(reader_class, match):
    with pytest.raises(AssertionError, match=match):
        check_reader(reader_class(), "a")


def test_an_answer_that_is_no_columns_is_an_error():
    class Numbers(DataReader):
        def read_file(self, path):
            return [1, 2]

    with pytest.raises(ReadFileError, match=r"Numbers\.read_file"):
        check_reader(Numbers(), "a")
