"""What the user typed: "package.module:name" is looked for in the working directory too, and nothing else is."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from pyloader.errors import import_optional

__all__ = ["send_by_value", "typed_object"]

_found_here: set[str] = set()  # the modules that came from the working directory


def typed_object(option: str, name: str) -> Any:
    """Return what "package.module:name" names; the module may lie in the working directory.

    Args:
      option: Where it was typed, to be named in errors: "--reader".
      name: What was typed.

    Raises:
      ValueError: it names nothing; the message says what is missing.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{option} {name}: write it as package.module:name")
    try:
        with _working_directory_first():
            found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, TypeError, ValueError) as exc:
        raise ValueError(f"{option} {name} cannot be imported ({exc})") from exc
    return found


def send_by_value() -> None:
    """Let worker processes get what was found in the working directory with its pickle: they do not look there."""
    cloudpickle = import_optional("cloudpickle", wanted_by="a worker process")
    for name in _found_here & sys.modules.keys():
        cloudpickle.register_pickle_by_value(sys.modules[name])


@contextlib.contextmanager
def _working_directory_first() -> Iterator[None]:
    """Import from the working directory as a script there would.

    No longer than that: the directory may be a stranger's, and what is imported later must not be found in it.
    """
    here, before = os.getcwd(), set(sys.modules)
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)
        below = os.path.join(here, "")
        for name in sys.modules.keys() - before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(below):
                _found_here.add(name)
