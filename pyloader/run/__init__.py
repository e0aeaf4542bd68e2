"""One run of the loader: every step in its place."""

from pyloader.run.options import RunOptions
from pyloader.run.resident import check_bytes
from pyloader.run.run import Run
from pyloader.run.transient import waits_before_retries

__all__ = ["Run", "RunOptions", "check_bytes", "waits_before_retries"]
