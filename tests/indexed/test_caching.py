"""Caching: every item is taken once."""

from __future__ import annotations

import numpy as np
from small_items import LETTERS, Counted

from pyloader.indexed.caching import CachedDataset
from pyloader.indexed.in_memory import InMemoryDataset


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
