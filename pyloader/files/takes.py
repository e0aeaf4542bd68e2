"""Takes: whose place in a store a writer takes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Takes"]


@dataclass(frozen=True, kw_only=True)
class Takes:
    """Whose place a writer takes, besides that of the same command.

    Attributes:
      stopped: Of what was stopped, or is gone, whatever its command.
      silent: Of what has not renewed its object for 60 seconds, too.
    """

    stopped: bool = False
    silent: bool = False
