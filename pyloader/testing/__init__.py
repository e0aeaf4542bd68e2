"""Contract tests, to be run on one's own readers, datasets and collators; and the faults that they are made of."""

from pyloader.testing.faults import FailingReads, FlakyReads, SlowReads, altered, flip_bit, kill_at_step, truncate
from pyloader.testing.loaders import LOADER_CHECKS, check_loader
from pyloader.testing.readers import check_reader

__all__ = [
    "LOADER_CHECKS",
    "FailingReads",
    "FlakyReads",
    "SlowReads",
    "altered",
    "check_loader",
    "check_reader",
    "flip_bit",
    "kill_at_step",
    "truncate",
]
