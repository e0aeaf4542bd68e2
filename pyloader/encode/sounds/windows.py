"""A window of an encoded sound, at another sample rate: no more than the window, and a little around it, is decoded.

A window has the samples that the whole sound, resampled, has there (within 1e-4): what is read begins where a sample of
one rate and one of the other fall together, and the resampler's filter sees what lies around the window.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from pyloader.errors import import_optional
from pyloader.files.sound_headers import SoundHeaderError, check_sound

__all__ = ["SoundFault", "read_window"]

_MOST_VALUES = 2**28  # of a sound that are decoded at once: 1 GiB
_AROUND = 256  # samples of the lower rate that the filter sees on each side of a window
# An MP3 is read from its beginning where that is so near: libmpg123 writes to standard error where it begins elsewhere.
_NEAR_SECONDS = 30
_BEFORE_MP3 = 12 * 1152  # frames otherwise: a packet refers to earlier ones, and is silent without them
_MAY_LACK = 2304  # frames at the end: an MP3 counts in steps of 1,152


class SoundFault(Exception):
    """These bytes are no sound that can be decoded; the message is the rest of a sentence."""


def read_window(
    data: Any, *, sample_rate: int, num_samples: int | None, place: float, channels: int, max_seconds: float
) -> np.ndarray:
    """Return a window of a sound; all of it where it is shorter.

    Args:
      data: The encoded sound, bytes.
      sample_rate: Of the window, in Hz.
      num_samples: Of the window; None is the whole sound.
      place: Where the window begins, of all its places: 0 is the first, just below 1 the last.
      channels: 1 is the mean of all of them; 2 is two, and a sound of one has it twice.
      max_seconds: How long a sound may be that is decoded as a whole.

    Returns:
      float32 array of shape [samples], or [samples, 2].

    Raises:
      SoundFault: it is no such sound.
    """
    if not isinstance(data, bytes):
        raise SoundFault(f"is {type(data).__name__}, not the bytes of a sound")
    soundfile = import_optional("soundfile", wanted_by="AudioDataset")
    try:
        check_sound(data)
        with soundfile.SoundFile(_Sound(data)) as file:
            return _window(file, sample_rate, num_samples, place, channels, max_seconds)
    except (SoundFault, MemoryError, ImportError):
        raise
    except SoundHeaderError as exc:
        raise SoundFault(str(exc)) from exc
    except Exception as exc:  # soundfile raises more than its own error for damaged bytes
        reason = getattr(exc, "error_string", "") or str(exc) or type(exc).__name__
        raise SoundFault(f"cannot be decoded ({reason.rstrip('.')})") from exc


class _Sound(io.BytesIO):
    """The bytes of a sound, in which a damaged one may be sought before its beginning."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(max(0, offset) if whence == 0 else offset, whence)


def _window(
    file: Any, sample_rate: int, num_samples: int | None, place: float, channels: int, max_seconds: float
) -> np.ndarray:
    num_frames, rate = file.frames, file.samplerate
    total = num_frames * sample_rate // rate
    if total < 1:
        raise SoundFault(f"has {num_frames:,} frames at {rate:,} Hz, which is no sample at {sample_rate:,} Hz")
    if channels == 2 and file.channels > 2:
        raise SoundFault(f"has {file.channels} channels, and mono=False takes one or two")
    if num_samples is None and total > max_seconds * sample_rate:
        raise SoundFault(f"has {num_frames / rate:,.0f} seconds, more than max_seconds={max_seconds:,.0f}")
    length = total if num_samples is None else min(num_samples, total)
    first = min(int(place * (total - length + 1)), total - length)
    start, stop = _frames_of(first, length, rate, sample_rate, num_frames)
    values = _read(file, start, stop, channels)
    if rate == sample_rate:
        return values
    soxr = import_optional("soxr", wanted_by="AudioDataset, to resample,")
    resampled: np.ndarray = soxr.resample(values, rate, sample_rate, quality="HQ")
    skipped = first - start * sample_rate // rate
    return resampled[skipped : skipped + length]


def _frames_of(first: int, length: int, rate: int, sample_rate: int, num_frames: int) -> tuple[int, int]:
    """Return which frames are read for a window: they begin at one that falls together with a sample."""
    if rate == sample_rate:
        return first, first + length
    around = _AROUND * max(1, -(-rate // sample_rate))
    step = rate // math.gcd(rate, sample_rate)
    start = max(0, first * rate // sample_rate - around) // step * step
    return start, min(num_frames, -(-(first + length) * rate // sample_rate) + around)


def _read(file: Any, start: int, stop: int, channels: int) -> np.ndarray:
    num_frames = stop - start
    if num_frames * file.channels > _MOST_VALUES:
        raise SoundFault(f"has {num_frames:,} frames of {file.channels} channels in a window, more than 1 GiB")
    before = 0
    if file.format == "MP3":
        before = start if start <= _NEAR_SECONDS * file.samplerate else _BEFORE_MP3
    if start > before:
        file.seek(start - before)
    values: np.ndarray = file.read(before + num_frames, dtype="float32", always_2d=True)[before:]
    if len(values) < num_frames - _MAY_LACK or not len(values):
        raise SoundFault(f"ends early: {start + len(values):,} frames are there, of {file.frames:,}")
    if not np.isfinite(values).all():
        raise SoundFault("holds values that are no numbers")
    if channels == 1:
        return values[:, 0] if values.shape[1] == 1 else values.mean(axis=1)
    return values if values.shape[1] == 2 else np.repeat(values, 2, axis=1)
