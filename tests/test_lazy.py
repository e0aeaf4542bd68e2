"""Packages whose names are imported when they are first used, and the commands that load no more than they need."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyloader.lazy import lazy_names

PACKAGE = Path(__file__).resolve().parents[1] / "pyloader"
FRAMEWORKS = ("pyloader.jax", "pyloader.ray", "pyloader.tensorflow", "pyloader.torch")

# What a split of JSON lines on a disk has no use for.
NOT_FOR_LINES = [
    "pyloader.audit",
    "pyloader.compat",
    "pyloader.dataloader",
    "pyloader.encode.chat",
    "pyloader.encode.images",
    "pyloader.encode.opened_tokenizer",
    "pyloader.encode.sounds",
    "pyloader.encode.text",
    "pyloader.files.cache",
    "pyloader.files.store_lock",
    "pyloader.files.stored",
    "pyloader.files.stores.conditions",
    "pyloader.indexed",
    "pyloader.inspecting.peeking",
    "pyloader.observe",
    "pyloader.packing",
    "pyloader.plan",
    "pyloader.read.delimited",
    "pyloader.read.hdf5",
    "pyloader.read.huggingface",
    "pyloader.read.mds",
    "pyloader.read.parquet",
    "pyloader.read.tfrecord",
    "pyloader.read.webdataset",
    "pyloader.read.zarr_arrays",
    "pyloader.run",
    "pyloader.shuffle",
    "pyloader.write.compacting",
    "pyloader.write.dump_check",
    "pyloader.write.stored_outputs",
    "pyloader.write.writer",
    "asyncio",
    "hashlib",
    "html",
    "multiprocessing",
    "numpy.random",
    "pyarrow",
    "tqdm",
    "unittest",
]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the names `found` of its module `home`, and `missing`, which that module has not."""
    (tmp_path / "lazily").mkdir()
    (tmp_path / "lazily" / "__init__.py").write_text(
        "from pyloader.lazy import lazy_names\n"
        "here = 1\n"
        "__getattr__, __dir__ = lazy_names(__name__, {'home': 'found other', 'away': 'missing'})\n"
    )
    (tmp_path / "lazily" / "home.py").write_text("found = object()\nother = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("lazily")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazily"]:
        del sys.modules[name]


def test_a_module_is_imported_when_one_of_its_names_is_first_used(package):
    assert "lazily.home" not in sys.modules
    assert package.other == 2
    assert "lazily.home" in sys.modules
    assert package.found is sys.modules["lazily.home"].found


def test_a_name_is_looked_up_once(package):
    found = package.found
    del sys.modules["lazily.home"].found
    assert package.found is found


def test_an_unknown_name_is_an_attribute_error_that_names_the_package(package):
    with pytest.raises(AttributeError, match="module 'lazily' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_the_names_are_listed_before_they_are_used(package):
    assert {"here", "found", "other", "missing"} <= set(dir(package))


def lazy_packages() -> list[tuple[str, ast.Module]]:
    found = [(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("__init__.py"))]
    return [
        (".".join(path.parent.relative_to(PACKAGE.parent).parts), tree)
        for path, tree in found
        if any(isinstance(node, ast.Name) and node.id == lazy_names.__name__ for node in ast.walk(tree))
    ]


@pytest.mark.parametrize(("name", "tree"), lazy_packages(), ids=lambda of: of if isinstance(of, str) else "")
def test_a_lazy_package_has_the_names_that_type_checkers_see(name, tree):
    """And none that is also one of its modules: which of the two it is would depend on what was imported before."""
    if name in FRAMEWORKS:
        pytest.importorskip(name.rpartition(".")[2])
    package = importlib.import_module(name)
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(package.__all__) - {"__version__"} == seen.keys()
    assert not [entry for entry in seen if (PACKAGE.parent / name.replace(".", "/") / f"{entry}.py").exists()]
    for entry, home in seen.items():
        assert getattr(package, entry) is getattr(importlib.import_module(home), entry), entry


@pytest.mark.slow
def test_a_split_of_lines_loads_nothing_that_it_has_no_use_for(tmp_path):
    (tmp_path / "dump.jsonl").write_text('{"text": "a"}\n' * 100)
    script = (
        "import json, sys; from pyloader.cli.main import main;"
        "code = main(['split', 'dump.jsonl', 'chunks', '--to', 'jsonl.zst', '--workers', '2']);"
        "print(json.dumps([code, *sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    code, *loaded = json.loads(ran.stdout.splitlines()[-1])
    assert code == 0
    assert not sorted(set(NOT_FOR_LINES) & set(loaded))
