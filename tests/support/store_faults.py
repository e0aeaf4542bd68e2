"""What goes wrong with requests to the store of tests, as `StoreServer.add_fault` is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Fault"]


@dataclass
class Fault:
    """What goes wrong, for which requests."""

    name: str
    method: str = "*"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "InternalError"
    close_at: int | None = None
    stall_at: int | None = None
    go_on: threading.Event | None = None
    before: Callable[[], object] | None = None
    body: Callable[[bytes], bytes] | None = None
    after: int = 0
    times: int | None = 1
    chance: float = 1.0
    seen: int = 0
    used: int = 0
