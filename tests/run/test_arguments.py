"""Arguments: the tables of options agree with the doors, and their checks name what is wrong."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest

import pyloader
from pyloader import indexed
from pyloader.indexed.arguments import IndexedArguments
from pyloader.run.arguments import LoaderArguments


@pytest.mark.parametrize(
    ("door", "table"), [(pyloader.DataLoader, LoaderArguments), (indexed.DataLoader, IndexedArguments)]
)
def test_a_table_has_the_options_of_its_door_in_their_order(door, table):
    *names, old_names = inspect.signature(door).parameters
    assert old_names == "old_names"
    assert [option.name for option in fields(table)] == names


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_workers": 1.5}, TypeError, "num_workers must be an integer, got 1.5"),
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_epoch": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"worker_kind": "fork"}, ValueError, 'worker_kind must be "thread" or "process", not \'fork\''),
        ({"last_batch": "all"}, ValueError, r'last_batch must be "keep", "drop", "pad"(,.*)? or ".*", not \'all\''),
        ({"stall_timeout_seconds": 0}, ValueError, "stall_timeout_seconds must be a number of seconds above 0"),
    ],
)
def test_an_option_that_fails_its_check_is_named_by_both_doors(tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        pyloader.DataLoader(data_dir=tmp_path, **options)
    with pytest.raises(error, match=text):
        indexed.DataLoader(np.arange(3), **options)
