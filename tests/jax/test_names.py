"""The names of the package: those that type checkers see, each where it says."""

import ast
from pathlib import Path

import pytest

jax = pytest.importorskip("jax")

import pyloader.jax  # noqa: E402

pytestmark = pytest.mark.frameworks


def test_type_checkers_see_the_names_that_there_are():
    tree = ast.parse(Path(pyloader.jax.__file__).read_text())
    seen = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen - {None} == set(pyloader.jax.__all__)
    assert all(getattr(pyloader.jax, name) is not None for name in pyloader.jax.__all__)
