"""Lazy imports: a package whose names are imported when they are first used, so that a command loads what it needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package.

    Args:
      package: Its name.
      homes: Module below the package -> the names that it defines, between spaces.  No name may be that of a module
        of the package: which of the two it stood for would depend on what was imported before.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        setattr(sys.modules[package], name, found)  # the next use does not come here
        return found

    return find, lambda: sorted({*vars(sys.modules[package]), *home_of})
