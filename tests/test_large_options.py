"""Numbers that no machine has use for are refused when the loader is made, not when they overflow."""

from __future__ import annotations

import numpy as np
import pytest
from numbered import loader_of, write_chunks

from pyloader import indexed

CHUNKS = ["num_epochs", "batch_size", "max_queue_size", "num_workers", "num_readers", "read_retries"]
ITEMS = ["num_epochs", "batch_size", "num_workers", "prefetch_size"]


@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
@pytest.mark.parametrize("name", CHUNKS)
def test_a_loader_of_chunks_refuses_them(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be at most [0-9]+, got {value}"):
        loader_of(write_chunks(tmp_path, [10]), **{name: value})


@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
@pytest.mark.parametrize("name", ITEMS)
def test_a_loader_of_items_refuses_them(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at most [0-9]+, got {value}"):
        indexed.DataLoader(np.arange(10), **{name: value})


def test_what_is_just_not_too_large_has_a_length():
    with indexed.DataLoader(np.arange(10), batch_size=2, num_epochs=2**31 - 1) as loader:
        assert len(loader) == 5 * (2**31 - 1)


def test_very_many_retries_wait_half_a_minute_each(tmp_path):
    with loader_of(write_chunks(tmp_path, [10]), read_retries=10_000) as loader:
        assert len(next(loader)["id"]) == 10
