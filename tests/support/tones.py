"""Sounds for tests: tones that rise, so that each moment of one is another."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

__all__ = ["encoded_tone", "tone"]


def tone(seconds: float, rate: int, *, first: float = 200.0, rise: float = 400.0) -> np.ndarray:
    """Return a tone that rises by `rise` Hz a second: float32 of shape [samples]."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (first * t + rise / 2 * t * t))).astype(np.float32)


def encoded_tone(
    seconds: float = 1.0, rate: int = 16000, form: str = "WAV", *, channels: int = 1, **options: Any
) -> bytes:
    """Return a sound of `tone`; a second channel is half as loud, a third a third."""
    import soundfile

    values = tone(seconds, rate, **options)
    file = io.BytesIO()
    soundfile.write(file, np.stack([values / (1 + channel) for channel in range(channels)], axis=1), rate, format=form)
    return file.getvalue()
