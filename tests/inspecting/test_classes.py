"""Classes: which columns have some, and how many samples of each lie in each chunk."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.inspecting.classes import count_classes


def test_classes_are_counted_by_chunk():
    parts = [
        {"label": np.array([0, 0, 1]), "source": ["a", "b", "a"]},
        {"label": np.array([2, 2]), "source": ["b", None]},
    ]
    found = count_classes(parts, ["label", "source"])
    assert sorted(map(sorted, found["label"].T.tolist())) == [[0, 1], [0, 2], [0, 2]]
    assert found["label"].sum(axis=1).tolist() == [3, 2]
    assert found["source"].sum(axis=1).tolist() == [3, 2]


def test_columns_of_which_no_value_comes_again_have_no_classes():
    parts = [{"number": np.arange(9), "text": [f"line {n}" for n in range(9)], "same": np.zeros(9, int)}] * 2
    parts[1] = {**parts[1], "number": np.arange(9, 18), "text": [f"line {n}" for n in range(9, 18)]}
    assert count_classes(parts) == {}


def test_numbers_with_a_point_are_put_into_bins_when_they_are_named():
    parts = [{"length": np.linspace(0, 1, 160)}, {"length": np.linspace(1, 2, 160)}]
    assert count_classes(parts) == {}
    table = count_classes(parts, ["length"])["length"]
    assert table.shape == (2, 16)
    assert sorted(table[0].tolist()) == [10] * 16
    assert sorted(table[1].tolist()) == [0] * 15 + [160]  # the bins are those of the first chunk


def test_the_rarest_of_very_many_classes_are_one():
    parts = [{"word": np.arange(3000) // 2}, {"word": np.zeros(10, int)}]
    table = count_classes(parts, ["word"])["word"]
    assert table.shape == (2, 1000)
    assert table.sum(axis=1).tolist() == [3000, 10]


@pytest.mark.parametrize("column", ["image", "tokens", "no such column"])
def test_a_named_column_without_classes_is_an_error_that_says_which_there_are(column):
    parts = [{"image": np.zeros((3, 2)), "tokens": [[1], [2], [3]], "label": [0, 1, 0]}] * 2
    with pytest.raises(ValueError, match=f"no column '{column}' whose values can be compared.*image, label, tokens"):
        count_classes(parts, [column])
