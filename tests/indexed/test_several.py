"""Several datasets: side by side, or one after another, each asked once."""

from __future__ import annotations

import numpy as np
import pytest
from small_items import LETTERS, Counted

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.several import CombinedDataset, NamedStreams, ZippedDataset


def test_what_stands_at_the_same_index_comes_together():
    zipped = LETTERS.zip(RangeDataset(10))
    assert zipped[-1] == ("j", 9) and zipped[:2] == [("a", 0), ("b", 1)]
    named = NamedStreams({"image": np.arange(20).reshape(10, 2), "label": LETTERS})
    np.testing.assert_equal(named[[1, 0]], {"image": np.array([[2, 3], [0, 1]]), "label": ["b", "a"]})
    np.testing.assert_equal(named[3], {"image": np.array([6, 7]), "label": "d"})


def test_unequal_lengths_are_an_error_that_names_both():
    with pytest.raises(ValueError, match="image has 10 items and label has 9; what belongs together"):
        NamedStreams({"image": LETTERS, "label": RangeDataset(9)})
    with pytest.raises(ValueError, match="dataset 0 has 10 items and dataset 1 has 9"):
        ZippedDataset(LETTERS, RangeDataset(9))
    with pytest.raises(ValueError, match="there is no dataset"):
        NamedStreams({})


def test_any_number_of_datasets_come_one_after_another():
    parts = [RangeDataset(0, 3), RangeDataset(3, 4), RangeDataset(4, 9)]
    for combined in (CombinedDataset(*parts), CombinedDataset(parts), parts[0].concatenate(*parts[1:])):
        assert list(combined) == list(range(9)) and combined[-1] == 8
        assert combined[[8, 0, 3, 2, 8]] == [8, 0, 3, 2, 8]
    with pytest.raises(ValueError, match="at least one dataset"):
        CombinedDataset()


def test_a_concatenation_asks_each_dataset_once_and_empty_ones_never():
    sources = [Counted(np.arange(4)), Counted(np.arange(0)), Counted(np.arange(4, 8))]
    assert CombinedDataset(sources)[[5, 0, 7, 1]].tolist() == [5, 0, 7, 1]
    assert [source.taken for source in sources] == [[[0, 1]], [], [[1, 3]]]
    assert CombinedDataset(sources)[[]].tolist() == []


def test_rows_of_every_form_come_together_in_order():
    columns = [InMemoryDataset({"x": np.arange(2) + 10 * part, "y": [part, part]}) for part in range(2)]
    np.testing.assert_equal(CombinedDataset(columns)[[3, 0, 2]], {"x": np.array([11, 0, 10]), "y": [1, 0, 1]})
    assert CombinedDataset(LETTERS, InMemoryDataset(["z"]))[[10, 1]] == ["z", "b"]


def test_datasets_that_do_not_go_together_say_how_they_differ():
    with pytest.raises(ValueError, match=r"one gives lists of items, another arrays of int64 \[2\]. Make them alike"):
        CombinedDataset(RangeDataset(3), InMemoryDataset(np.zeros((4, 2), int)))[[0, 5]]
