"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from pyloader.errors import MissingDependencyError

PACKAGE = Path(__file__).resolve().parents[1] / "pyloader"
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_give_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name.removesuffix(".__init__"))
    except MissingDependencyError as exc:
        pytest.skip(str(exc))
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
