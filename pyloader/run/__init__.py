"""One run of the loader: every step in its place."""

from pyloader.run.options import RunOptions
from pyloader.run.run import Run

__all__ = ["Run", "RunOptions"]
