"""What comes of a loader until it fails, or in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def until_error(batches: Iterable[Any]) -> tuple[list[Any], BaseException]:
    """Return the batches before the error, and the error."""
    found: list[Any] = []
    with pytest.raises(BaseException) as caught:
        found.extend(batches)
    return found, caught.value


def error_in_forked_child(use: Callable[[], Any], kind: type[Exception]) -> str:
    """Return the text of the error of that kind that `use` raises in a forked child; "" if it raises none."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # it does nothing but try, and leaves at once
        try:
            use()
        except kind as exc:
            os.write(writer, str(exc).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return text
