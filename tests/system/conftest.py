"""The laws' tests run over every source."""

from sources import source

__all__ = ["source"]
