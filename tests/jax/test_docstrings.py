"""The examples in the docstrings are run."""

import doctest
import importlib

import pytest

pytest.importorskip("jax")
pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["mesh", "transforms.batch"])
def test_the_examples_of_a_module_are_true(name):
    found = doctest.testmod(importlib.import_module(f"pyloader.jax.{name}"))
    assert found.attempted and not found.failed
