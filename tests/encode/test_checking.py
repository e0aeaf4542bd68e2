"""The answer of batch_encode is checked."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.dataset import Dataset
from pyloader.encode import encode_batch
from pyloader.errors import BatchEncodeError

BATCH = {"text": [f"text {row}" for row in range(16)]}


class Answers(Dataset):
    def __init__(self, answer):
        self.answer = answer

    def batch_encode(self, columns):
        return self.answer


@pytest.mark.parametrize("rows", [list(range(16)), tuple(range(16))])
def test_lists_and_tuples_out_are_lists(rows):
    assert encode_batch(Answers({"ids": rows}), BATCH) == {"ids": list(range(16))}


def test_arrays_out_are_the_same_objects():
    ids = np.zeros((16, 3))
    assert encode_batch(Answers({"ids": ids}), BATCH)["ids"] is ids


@pytest.mark.parametrize("num_rows", [0, 14, 17])
def test_another_number_of_rows_points_to_where_to_filter(num_rows):
    message = rf"^Answers.batch_encode got 16 rows and returned {num_rows}\. Filter in read_file, or when splitting$"
    with pytest.raises(BatchEncodeError, match=message):
        encode_batch(Answers({"ids": [0] * num_rows}), BATCH)


def test_rows_are_counted_before_batch_encode_changes_what_it_is_given():
    class Filters(Dataset):
        def batch_encode(self, columns):
            columns["text"] = columns["text"][:14]
            return columns

    with pytest.raises(BatchEncodeError, match="got 16 rows and returned 14"):
        encode_batch(Filters(), dict(BATCH))


class Tensor:
    def __len__(self):
        return 16


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned a NoneType, not a dict of columns"),
        ([1], "returned a list, not a dict of columns"),
        ({}, "returned a dict without columns"),
        ({"ids": Tensor()}, r"returned 'ids' as a Tensor; .* tensors are made in collate_batch"),
        ({"ids": [0] * 14, "n": [0] * 16}, "returned 'ids' with 14 rows and 'n' with 16. Return .* of 16 rows"),
    ],
)
def test_an_answer_that_is_no_set_of_columns_is_described(answer, message):
    with pytest.raises(BatchEncodeError, match=f"^Answers.batch_encode {message}"):
        encode_batch(Answers(answer), BATCH)


def test_a_stop_iteration_cannot_pass_for_the_end_of_the_data():
    class Runs(Dataset):
        def batch_encode(self, columns):
            return next(iter([]))

    with pytest.raises(RuntimeError, match=r"Runs.batch_encode raised StopIteration") as caught:
        encode_batch(Runs(), BATCH)
    assert isinstance(caught.value.__cause__, StopIteration)


def test_any_other_error_arrives_as_itself():
    class Breaks(Dataset):
        def batch_encode(self, columns):
            return columns["txt"]

    with pytest.raises(KeyError, match="txt"):
        encode_batch(Breaks(), BATCH)
