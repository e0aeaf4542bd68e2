"""The three doors that users subclass, and how the answer of read_file is checked."""

from __future__ import annotations

from collections import UserDict

import numpy as np
import pytest

from pyloader.datacollator import DataCollator
from pyloader.datareader import DataReader, read_chunk
from pyloader.dataset import Dataset
from pyloader.errors import ChunkReadError, ReadFileError
from pyloader.read import JsonlReader


class Answers(DataReader):
    """A reader that reads what it is told to."""

    def __init__(self, answer):
        self.answer = answer  # and no super().__init__(), as it happens

    def read_file(self, path):
        return self.answer


def test_a_reader_that_forgets_super_init_has_the_defaults():
    reader = Answers(None)
    assert (reader.batch_size, reader.shuffle, reader.seed) == (16, False, 42)
    assert vars(DataReader()) == {"batch_size": 16, "shuffle": False, "seed": 42}


def test_options_of_a_reader_may_be_given_by_position():
    reader = DataReader(4, True, 7)
    assert (reader.batch_size, reader.shuffle, reader.seed) == (4, True, 7)


def test_random_seed_is_the_old_name_of_seed():
    assert DataReader(random_seed=7).seed == 7


@pytest.mark.parametrize(("option", "advice"), [("drop_last", "last_batch="), ("batchsize", "'batch_size'")])
def test_an_unknown_option_of_a_reader_is_refused_by_the_name_of_its_class(option, advice):
    class Problems(DataReader):
        pass

    with pytest.raises(TypeError, match=f"Problems has no option '{option}'.*{advice}"):
        Problems(**{option: 1})


def test_a_misspelt_option_of_a_readers_own_is_known(tmp_path):
    class Problems(DataReader):
        def __init__(self, language="en", **options):
            super().__init__(**options)

    with pytest.raises(TypeError, match=r"^JsonlReader has no option 'colums'\. Did you mean 'columns'\?"):
        JsonlReader(colums=["text"])
    with pytest.raises(TypeError, match=r"^Problems has no option 'langauge'\. Did you mean 'language'\?"):
        Problems(langauge="de")
    assert (Problems("de", seed=7).seed, Problems(random_seed=8).seed) == (7, 8)


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda: DataReader().read_file("a"), r"DataReader has no read_file\(path\)"),
        (lambda: Dataset().batch_encode({}), r"Dataset has no batch_encode\(columns\)"),
        (lambda: DataCollator().collate_batch({}), r"DataCollator has no collate_batch\(columns\)"),
    ],
)
def test_a_door_without_its_method_says_which_one_to_write(call, missing):
    with pytest.raises(NotImplementedError, match=missing):
        call()


def test_the_path_arrives_as_a_str(tmp_path):
    class Paths(DataReader):
        def read_file(self, path):
            return {"path": [path]}

    assert read_chunk(Paths(), tmp_path / "a") == {"path": [str(tmp_path / "a")]}


@pytest.mark.parametrize(
    "answer",
    [
        ({"x": [1, 2]}, 2),
        ({"x": [1, 2]}, np.int64(2)),
        {"x": [1, 2]},
        ({"x": (1, 2)}, 2),
        UserDict({"x": [1, 2]}),
    ],
)
def test_columns_come_with_their_count_or_alone(answer):
    assert read_chunk(Answers(answer), "a.jsonl") == {"x": [1, 2]}


def test_arrays_are_not_copied():
    x = np.zeros(3)
    assert read_chunk(Answers(({"x": x}, 3)), "a.npy")["x"] is x


def test_a_file_without_samples_has_no_columns_to_tell_of():
    assert read_chunk(Answers(({}, 0)), "a.jsonl") == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (({"text": [""] * 228, "label": [0] * 227}, 228), "returned 'text' with 228 rows and 'label' with 227."),
        (({"x": [1, 2, 3]}, 2), "returned 3 rows in 'x' and num_samples=2. Make them agree"),
        (({"x": []}, 2), "returned 0 rows in 'x' and num_samples=2. Make them agree"),
        (({}, 2), "returned a dict without columns."),
        ({}, "returned a dict without columns."),
        (([{"x": 1}], 1), r"returned a list, not a dict of columns. Return \(columns, num_samples\), or columns alone"),
        (None, r"returned a NoneType, not a dict of columns. Return \(columns, num_samples\)"),
        (({"x": [1]}, {"y": [1]}), r"returned num_samples as a dict. Return \(columns, num_samples\)"),
        (({"x": [1]}, 1, "more"), "returned a tuple, not a dict of columns"),
        (({"x": {1}}, 1), "returned 'x' as a set; a column is a list, a NumPy array or a Ragged"),
        (({1: [1]}, 1), "returned the key 1, which is not a str"),
    ],
)
def test_an_answer_that_is_no_set_of_columns_names_the_file_and_the_method(answer, message):
    with pytest.raises(ReadFileError, match=f"^chunks/a.jsonl: Answers.read_file {message}"):
        read_chunk(Answers(answer), "chunks/a.jsonl")


def test_a_stop_iteration_cannot_pass_for_the_end_of_the_data():
    class Runs(DataReader):
        def read_file(self, path):
            return next(iter([]))

    with pytest.raises(RuntimeError, match=r"Runs.read_file raised StopIteration at a.jsonl") as caught:
        read_chunk(Runs(), "a.jsonl")
    assert isinstance(caught.value.__cause__, StopIteration)


def test_any_other_error_arrives_as_itself():
    class Breaks(DataReader):
        def read_file(self, path):
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        read_chunk(Breaks(), "a.jsonl")


def test_a_directory_for_a_reader_of_files_is_an_error_that_names_both(tmp_path):
    (tmp_path / "a.columns").mkdir()
    with pytest.raises(ChunkReadError, match=r"a\.columns: is a directory, and JsonlReader reads files"):
        read_chunk(JsonlReader(), tmp_path / "a.columns")
