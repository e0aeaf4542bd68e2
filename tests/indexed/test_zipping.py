"""Zipped and named datasets: what stands at the same index comes together."""

from __future__ import annotations

import numpy as np
import pytest

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.named import NamedStreams
from pyloader.indexed.zipping import ZippedDataset

LETTERS = InMemoryDataset(list("abcdefghij"))


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
