"""Optional packages are imported when used, and the error for a missing one can be typed in."""

from __future__ import annotations

import json
import sys

import pytest

from pyloader.errors import MissingDependencyError, import_optional


def test_a_package_that_is_there_is_imported():
    assert import_optional("json", wanted_by="Something") is json


def test_a_missing_package_is_named_with_who_needs_it_and_the_command_that_installs_it():
    with pytest.raises(MissingDependencyError, match=r"^ParquetReader needs 'no_such', which .*: pip install no_such$"):
        import_optional("no_such.part", wanted_by="ParquetReader")


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("array_record.python.array_record_module", "array_record"),
        ("pyarrow.parquet", "pyarrow"),
        ("google_crc32c", "google-crc32c"),
        ("PIL.Image", "pillow"),
        ("cykooz_resizer", "cykooz-resizer"),
    ],
)
def test_the_command_names_the_package_not_the_module(monkeypatch, module, package):
    root = module.partition(".")[0]
    for imported in [name for name in sys.modules if name.startswith(f"{root}.")]:
        monkeypatch.delitem(sys.modules, imported)
    monkeypatch.setitem(sys.modules, root, None)  # as Python does for what cannot be imported
    with pytest.raises(MissingDependencyError, match=rf"pip install {package}$"):
        import_optional(module, wanted_by="a reader")


def test_a_package_that_is_there_but_lacks_one_of_its_own_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all") as caught:
        import_optional("half_installed", wanted_by="Something")
    assert "pip install half_installed" not in str(caught.value)
