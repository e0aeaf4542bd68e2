"""Law 6, what random access has beside tests/system: iterators of their own."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from item_numbers import ENGINES

from pyloader.errors import ClosedError
from pyloader.indexed import (
    DataLoader,
)
from pyloader.testing.open_resources import loader_threads


@ENGINES
def test_close_ends_the_threads_of_every_iterator_and_later_use_is_an_error(num_workers):
    """loaderx deadlocked here: its workers sat in get() and put() while close() joined them."""
    loader = DataLoader(np.arange(1000), batch_size=5, num_workers=num_workers)
    next(loader)
    others = [iter(loader), iter(loader)]
    for other in others:
        next(other)
    state = loader.state_dict()
    loader.close()
    loader.close()
    assert not loader_threads()
    assert loader.state_dict() == state
    for use in (lambda: next(loader), lambda: iter(loader), lambda: next(others[0]), lambda: loader.seek(3)):
        with pytest.raises(ClosedError, match="is closed"):
            use()


def test_with_closes_an_iterator():
    with DataLoader(np.arange(1000)) as loader, iter(loader) as batches:
        next(batches)
    assert not loader_threads()


def test_loaders_and_iterators_that_are_dropped_are_cleaned_up():
    """loadax leaked a pool for each iterator: its finaliser held the object that it was to finalise."""
    loader = DataLoader(np.arange(1000), batch_size=5)
    first, second = iter(loader), iter(loader)
    next(first)
    next(second)
    gone = [weakref.ref(loader), weakref.ref(first), weakref.ref(second)]
    del loader, first, second
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert not loader_threads()
