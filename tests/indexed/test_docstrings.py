"""The examples in the docstrings are run."""

import doctest
import importlib

import pytest

MODULES = ["dataset", "mapping", "mixing", "several", "slicing"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    found = doctest.testmod(importlib.import_module(f"pyloader.indexed.{name}"))
    assert found.attempted and not found.failed
