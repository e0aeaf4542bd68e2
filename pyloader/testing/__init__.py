"""Contract tests, to be run on one's own readers and datasets."""

from pyloader.testing.readers import check_reader

__all__ = ["check_reader"]
