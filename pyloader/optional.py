"""Optional packages: imported when used, with the command that installs them when missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pyloader.errors import MissingDependencyError

__all__ = ["import_optional", "names_of"]

# Where the package to install is called otherwise than the module to import.
_PACKAGES = {"array_record.python.array_record_module": "array_record", "pyarrow.parquet": "pyarrow"}


def import_optional(module: str, *, wanted_by: str) -> ModuleType:
    """Import `module`, or say which command installs it.

    Args:
      module: The dotted name to import.
      wanted_by: What needs it, as the user knows it: "ParquetReader".

    Raises:
      MissingDependencyError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if not f"{module}.".startswith(f"{exc.name}."):
            raise  # the package is there, and lacks one that it needs itself
        package = _PACKAGES.get(module, module.partition(".")[0])
        raise MissingDependencyError(
            f"{wanted_by} needs {package!r}, which is not installed: pip install {package}"
        ) from exc


def names_of(home: str, *names: str, of: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of module `of`, which finds some names of module `home`: they once were in `of`."""

    def found(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(home), name)
        raise AttributeError(f"module {of!r} has no attribute {name!r}")

    return found
