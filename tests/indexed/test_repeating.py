"""Repeating: the items several times over."""

from __future__ import annotations

import pytest

from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset

LETTERS = InMemoryDataset(list("abcdefghij"))


def test_a_repetition_begins_again():
    assert list(RangeDataset(3).repeat(3)) == [0, 1, 2] * 3
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        LETTERS.repeat(0)
