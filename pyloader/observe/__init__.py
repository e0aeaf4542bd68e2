"""What happened, and where the time went."""

from pyloader.observe.progress import ProgressBar
from pyloader.observe.stats import ChunkStats, Counters, Stats

__all__ = ["ChunkStats", "Counters", "ProgressBar", "Stats"]
