"""Filtering: everything is looked at once, when the result is first used."""

from __future__ import annotations

import threading

from pyloader.indexed.filtering import FilteredDataset
from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset

LETTERS = InMemoryDataset(list("abcdefghij"))


def test_a_filter_reads_everything_once_when_it_is_first_used():
    called = []
    dataset = FilteredDataset(RangeDataset(3000), lambda x: called.append(x) or x % 7 == 0)
    assert called == []
    assert len(dataset) == 429 and list(dataset) == list(range(0, 3000, 7)) and dataset[-1] == 2996
    assert called == list(range(3000))


def test_a_filter_that_nothing_passes_is_empty():
    assert list(LETTERS.filter(lambda letter: False)) == []


def test_a_filter_is_built_once_whoever_is_first():
    called = []
    dataset = RangeDataset(500).filter(lambda x: called.append(x) or x > 2)
    threads = [threading.Thread(target=len, args=(dataset,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(called) == 500


def test_a_filter_shows_a_bar_when_asked(capsys):
    len(LETTERS.filter(str.isalpha))
    assert capsys.readouterr().err == ""
    len(LETTERS.filter(str.isalpha, progress=True))
    assert "filter: 100%" in capsys.readouterr().err
