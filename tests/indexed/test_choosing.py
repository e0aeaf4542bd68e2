"""Choosing: by a function, or by a hash; everything is looked at once."""

from __future__ import annotations

import threading

import pytest
from small_items import LETTERS

from pyloader.indexed.choosing import FilteredDataset, train_test_split
from pyloader.indexed.in_memory import InMemoryDataset, RangeDataset


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


def test_every_item_is_in_train_or_in_test_and_growing_moves_none():
    train, test = train_test_split(RangeDataset(10_000), 0.2)
    assert sorted([*train, *test]) == list(range(10_000))
    assert 1800 < len(test) < 2200
    _, grown = RangeDataset(20_000).train_test_split(0.2)
    assert list(grown)[: len(test)] == list(test)
    assert list(RangeDataset(10_000).train_test_split(0.2, seed=1)[1]) != list(test)


def test_items_with_equal_keys_stay_together():
    items = InMemoryDataset([f"user{index % 50}/{index}" for index in range(2000)])
    train, test = items.train_test_split(0.3, key=lambda item: item.partition("/")[0])
    users = [{item.partition("/")[0] for item in part} for part in (train, test)]
    assert users[0].isdisjoint(users[1]) and len(users[0] | users[1]) == 50 and len(test) > 0
    shuffled, again = items.shuffle(1).train_test_split(0.3, key=lambda item: item.partition("/")[0])
    assert sorted(again) == sorted(test) and sorted(shuffled) == sorted(train)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\)"):
        LETTERS.train_test_split(fraction)


def test_a_key_must_have_a_stable_hash():
    with pytest.raises(TypeError, match=r"key\(item\) must be a str, int or bytes, got tuple"):
        LETTERS.train_test_split(key=lambda item: (item,))
