"""Encoded sounds -> samples: a window of each is decoded, mixed down and resampled."""

from pyloader.encode.sounds.dataset import AudioDataset

__all__ = ["AudioDataset"]
