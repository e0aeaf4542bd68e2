"""One run of the loader: every step in its place."""

from pyloader.run.options import RunOptions
from pyloader.run.run import Run
from pyloader.run.transient import waits_before_retries

__all__ = ["Run", "RunOptions", "waits_before_retries"]
