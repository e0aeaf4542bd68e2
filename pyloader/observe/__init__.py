"""What happened, and where the time went."""

from pyloader.observe.progress import ProgressBar
from pyloader.observe.quarantine import Quarantine
from pyloader.observe.stats import Counters, Stats

__all__ = ["Counters", "ProgressBar", "Quarantine", "Stats"]
