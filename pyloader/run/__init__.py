"""One run of the loader: every step in its place."""

from pyloader.run.options import RunOptions
from pyloader.run.resident import check_bytes
from pyloader.run.run import Run

__all__ = ["Run", "RunOptions", "check_bytes"]
