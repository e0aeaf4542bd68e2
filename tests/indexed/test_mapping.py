"""Mapping: a function of each item, or of each batch; a cache takes every item once."""

from __future__ import annotations

import numpy as np
import pytest
from small_items import LETTERS, Counted

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset
from pyloader.indexed.mapping import CachedDataset, MappedBatchDataset, MappedDataset


def test_a_map_is_computed_when_an_item_is_read():
    called = []
    dataset = MappedDataset(RangeDataset(0, 10), lambda x: called.append(x) or x * 2)
    assert len(dataset) == 10 and called == []
    assert dataset[-1] == 18 and called == [9]
    assert list(dataset) == list(range(0, 20, 2))


def test_an_error_in_a_mapped_function_arrives_as_itself():
    with pytest.raises(ZeroDivisionError):
        RangeDataset(10).map(lambda x: 1 / (x - 3))[0:5]


def test_a_batched_map_gets_rows_in_one_take_and_the_last_batch_is_short():
    source = Counted(np.arange(70))
    dataset = source.map_batch(np.sum)
    assert len(dataset) == 3 and isinstance(dataset, MappedBatchDataset)
    assert dataset[0:3] == [sum(range(32)), sum(range(32, 64)), sum(range(64, 70))]
    assert len(source.taken) == 1
    assert source.map_batch(list, batch_size=4)[[17, 0]] == [[68, 69], [0, 1, 2, 3]]
    assert LETTERS.map_batch("".join, batch_size=4)[:] == ["abcd", "efgh", "ij"]
    columns = InMemoryDataset({"x": np.arange(5)})
    assert [batch["x"].tolist() for batch in columns.map_batch(lambda rows: rows, batch_size=3)] == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        LETTERS.map_batch(len, batch_size=0)


def test_a_cache_takes_every_item_once():
    source = Counted(np.arange(20).reshape(10, 2))
    cached = CachedDataset(source)
    np.testing.assert_array_equal(cached[[3, 1, 3]], source.rows[[3, 1, 3]])
    np.testing.assert_array_equal(cached[:], source.rows)
    np.testing.assert_array_equal(cached[:], source.rows)
    assert source.taken == [[1, 3], [0, 2, 4, 5, 6, 7, 8, 9]]


def test_a_cache_keeps_rows_of_every_form_and_is_not_changed_by_its_users():
    columns = InMemoryDataset({"x": np.arange(4.0), "y": list("abcd")}).cache()
    rows = columns[:]
    rows["x"] += 1
    rows["y"][0] = "changed"
    np.testing.assert_equal(columns[:], {"x": np.arange(4.0), "y": list("abcd")})
    assert list(LETTERS.cache()) == list(LETTERS)
