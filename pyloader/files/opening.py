"""Open a chunk file, whatever it is packed with."""

from __future__ import annotations

import os
from typing import IO, Any

__all__ = ["open_chunk"]


def open_chunk(path: str | os.PathLike[str], mode: str = "r") -> IO[Any]:
    raise NotImplementedError
